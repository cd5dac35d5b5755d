"""The demo: a build agent and a runtime agent at real work, broken in four ways and recovered by the whole pipeline.

`main` is all that is meant for use from outside.
"""


def main(*, as_json: bool = False, secure: bool = False) -> int:
    """Plays the demo and tells it on standard output, as one JSON document if that is wanted; its exit status.
    `secure`: with users, TLS and signatures.

    0: all four faults were recovered, proved and settled; 1: not so, the reason is on standard error; 128 + n: ended
    by signal n. Nothing is left running or on disk.
    """
    # The agents' processes import this package too, and need nothing of the story.
    from mendbus.demo.telling import tell

    return tell(as_json=as_json, secure=secure)
