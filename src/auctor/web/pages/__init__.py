"""What people see: server-rendered pages over the verbs of `auctor.web.service`, in English and French, usable without JavaScript."""
