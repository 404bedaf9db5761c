"""One file per engine: how it is asked and how its answers are read.

`rendering` holds what the requests share, `answers` the decoders over SSE, NDJSON and whole bodies, `chunks` the
reading of OpenAI-shaped JSON, `template` a shortcut for chunks that repeat, `errors` the words of servers that refuse.
Nothing here opens a socket or reads a clock.

How events are to be read
-------------------------
**Tokens.** `StreamEvent.tokens` is the number of tokens generated since the event before it. Engines also tell tokens
in events without text (an end-of-sequence token, half a character, a token a parser holds back). They belong to the
text that comes next: a reader keeps a carry, adds the tokens of each textless event to it, and gives an event with
text `tokens + carry`, after which the carry is 0. A carry left at the end of the answer belongs to no chunk and only
to the request's `output_tokens`. `tokens` None on an event with text means that the split is unknown for it; None
on a textless event adds nothing.

**Usage.** The last `usage` told stands. `tokens` of a stream add up to `usage.output_tokens` where both are told; the
usage wins where a server contradicts itself.

**Errors.** An `error` in any event fails the request, whatever `ended` says (vLLM closes even a failed stream with
[DONE]). Only the first body that is not of the protocol is told, not each of its lines.

**Ends.** `ended` False without an error is a truncated answer; `ended` True without any text an empty one. Both are
the caller's to say, because they need the whole exchange. Bytes after the end are not read. Comments (keep-alives)
are no events.
"""
