"""By what a file that is read again when it changes shows that it has changed."""

from pathlib import Path

Stamp = tuple[int, int, int, int]


def stamp(file: Path | None) -> Stamp | None:
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
