"""Every message that crosses between host, zygote and isolate, and its framing.

A frame is `length (u32) · type (u8) · call (u32) · payload`, big-endian; `length` counts the payload alone. The payload
of a message that carries `data: bytes` is those bytes, of any other a JSON object of its fields. `call` names the AI
call or subrequest that a message belongs to, counted by the isolate from 1; 0 is the invocation itself.

    host → isolate     Invoke · Body… · BodyEnd            the request; as much body as BodyCredit allows
                       Credit                              so many more bytes of response body may be sent
                       Abort                               the client left, or time is up: cancel the handler
                       AIAccepted · AIResult | AIChunk… · AIEnd | AIFailed
                       FetchHead · FetchBody… · FetchEnd | FetchFailed
    isolate → host     Ready                               forked, loop made, waiting
                       Head · Chunk… · End                 the response; Failure instead, where the handler failed
                       BodyCredit                          so many more bytes of request body may be sent
                       AICall, AICancel, FetchCall · FetchData… · FetchSent, FetchCredit, FetchCancel
                       Log                                 a line that the function printed
                       Done                                wait_until work is over; the process ends
    host → zygote      Fork (+ one descriptor)             fork an isolate that speaks on this socket
    zygote → host      Loaded | LoadFailed                 once, after the import
                       Forked, Exited                      one isolate's life

Bodies move under credit, so a reader that does not read stops its writer and nothing else: WINDOW bytes are granted
from the start, more as they are consumed.
"""
