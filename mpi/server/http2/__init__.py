"""gRPC over HTTP/2, served: connections, calls on them, and what handlers see of a call.

Frames, headers and flow control are nghttp2's (through ngh2, which moves no bytes by itself); sockets and TLS are the
event loop's. What stands here joins the two for gRPC's servers: a whole read is taken in before anything is answered,
so that lookups that came together are served together, and what they are answered with leaves in one write.
"""
