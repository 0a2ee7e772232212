// Trusted Types: the only policy. It passes htmx's own server fragments; it gives no script text and no script address.
"use strict";
if (window.trustedTypes && trustedTypes.createPolicy) {
  trustedTypes.createPolicy("default", { createHTML: (text) => text });
}
