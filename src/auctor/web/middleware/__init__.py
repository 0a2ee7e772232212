"""What every request passes before its route and every answer after it: headers, size, who is asking, forged forms."""
