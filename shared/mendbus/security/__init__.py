"""Who is who on the bus, who may do what, and who signed it; `SECURITY.md` beside this package says why and how.

`keys` (Ed25519, nkeys) - `credentials` (what a process shows the server) - `rights` (the server's permissions, from the
table of subjects) - `signing` (what commands and orders carry) - `authority` (TLS) - `installation` (the folder that
`mendbus nats-config` keeps).
"""
