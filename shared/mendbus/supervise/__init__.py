"""`mendbus supervise -- COMMAND`: an agent whose recovery is that of a program it runs as its child.

`launcher` is what a warm standby waits in; `commands` how a command line is turned into one; `process` one process of
the command; `program` what there is to know of it; `supervisor` what is done about it; `__main__` the program itself.
Linux only: it stands on pidfd.
"""
