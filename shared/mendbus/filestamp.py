"""By what a file that is read again when it changes shows that it has changed."""

from pathlib import Path

_Stamp = tuple[int, int, int, int]


class Watched:
    """A file, or none, that is read again when it has changed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp = _stamp_of(file)

    def changed(self) -> bool:
        """Whether it is another one than at the last look, or when the watch began."""
        before, self._stamp = self._stamp, _stamp_of(self._file)
        return self._stamp != before


def _stamp_of(file: Path | None) -> _Stamp | None:
    """Times of change, size and inode, which tell one content from the next, and when it may be read again.

    None while there is no file.
    """
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
