"""Words for `storage`. Files and disks: missing, full, damaged, not to be written."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
    "storage",
    (
        "space exhausted",
        DECISIVE,
        """
        enospc | disk full | disk is full | not enough space | insufficient space | quota exceeded | edquot |
        disk quota | out of space | out of storage | disk usage exceeded | flood stage | disk watermark |
        watermark exceeded | low disk | diskpressure | disk pressure | ephemeral-storage | quotaexceedederror |
        full osd | pool(s) full | could not extend file | table is full | database is full | mdb_map_full | map_full |
        filesystem is full | file system is full | os error 28 | errno 28 | volume is full | insufficient storage |
        no free space | inodes | low space | not enough free space | ran out of disk | mapsize | no more space |
        file too large | efbig | disk space | database space exceeded | mvcc: database space | no space |
        disk is almost full | exceeded disk | storage full | storage is full | not enough storage |
        insufficient free space | storage quota | writing past end | disk is low
        """,
    ),
    (
        "read-only or stale mount",
        DECISIVE,
        """
        read-only file system | read-only filesystem | erofs | readonly database | read-only database |
        stale file handle | stale nfs file handle | estale | remounting filesystem read-only | remount-ro |
        read-only / allow delete | file system is read-only | read_only_allow_delete | errno 30 | errno 116 |
        read only file system | os error 30 | database is read only | read-only mode |
        transport endpoint is not connected + mount | read_only mode | mounted read-only | sqlite_readonly |
        write-protected | readonlyerror | can't write against a read only | readonly you can't write |
        file system is mounted read | index read-only
        """,
    ),
    (
        "device error",
        STRONG,
        """
        input/output error | i/o error | buffer i/o | blk_update_request | bad sector | medium error | ext4-fs |
        xfs_ | xfs | btrfs | ext4_ | smartd | end of device | critical target error | jbd2 | aborting journal |
        superblock | sqlite_ioerr | disk error | io error | ioerror | device offline | nvme + timeout | bad block |
        data error (cyclic redundancy check) | semaphore timeout period | errno 5 | os error 5 |
        failed to read + disk | ata + failed command | fsync | degraded array | filesystem error | file system error |
        disk failure | log dirs + failed | eio | health_warn | health_err | degraded data redundancy | pgs | osd |
        osds | thin pool | free data blocks | no locks available | enolck | smart failure | ata error | read error |
        bad sectors | input-output error
        """,
    ),
    (
        "corrupt data",
        STRONG,
        """
        corrupt | corrupted | corruption | disk image is malformed | malformed database | checksum mismatch |
        checksum error | checksum failed | checksum does not match | invalid checksum | not a zip file | badzipfile |
        bad zip file | zip end header not found | invalid tar header | not in gzip format | end of central directory |
        unexpected end of archive | unexpected end of zlib | incorrect header check | bad magic | invalid magic |
        wrong magic number | crashed and should be repaired | corruptindexexception | premature end of file |
        invalid page in block | zip file + invalid | could not read block | missing chunk | not a database |
        bad file format | invalid block type | invalid distance | invalid zip | cannot identify image file |
        badblock | loose object + is corrupt | inflate: data stream error | missing blob | repair table |
        marked as crashed | safetensors header | headertoolarge | invalidheaderdeserialization |
        unexpected end of input stream | zlib_decode | badzip | pytorchstreamreader | could not decompress |
        innodb: database page | error -3 while decompressing | torn page | page checksum | integrity check failed |
        data loss | unexpected end of file + gzip | failed finding central directory | chunk + invalid |
        missing tablespace | bad signature + index | incorrect key file | unknown table engine |
        cannot open + ibdata | is not a valid + file | file is empty | unrecognized file format | truncated |
        unknown file format | bad data | corruptedstream | crc | invalid file format | failed to decode image |
        unidentifiedimageerror | not a valid image | premature eof
        """,
    ),
    (
        "file missing",
        GOOD,
        """
        enoent | no such file | filenotfounderror | filenotfoundexception | nosuchfileexception | file not found |
        the system cannot find the file | cannot find the path specified | could not find file | file does not exist |
        cannot open file | can't open file | failed to open file | failed to open stream | file missing |
        missing file | missing data file | os error 2 | directory not found | directorynotfoundexception |
        does not exist or is not readable | not found on disk | cannot open source | failed to load file |
        failed to read file | path does not exist | nosuchkey | the specified key does not exist | nosuchbucket |
        no such bucket | failed to load image | error opening file | cantopen | sqlite_cantopen | can't find file |
        couldn't find file | failed to load texture | asset not found | unable to load asset | missing asset |
        missing texture | couldn't load file | failed opening | resource not found on path | can't open + reading |
        failed to load model | pak file | errno 2 | file or directory | nie ma takiego pliku |
        datei oder verzeichnis nicht gefunden | aucun fichier ou dossier | no existe el fichero |
        nessun file o directory | 没有那个文件或目录 | os(2) | kind: notfound | cannot open shared data |
        failed to load resource file | unable to read file | could not read file | unable to load file |
        failed to load asset | missing resource | unable to find file | missing from disk | unable to open |
        could not open | cannot access | file could not be found | no such key | no such object | object not found |
        cannot find file | file not accessible | file cannot be | does not have the access rights | couldn't open
        """,
    ),
    (
        "file busy or in the way",
        STRONG,
        """
        ebusy | resource busy or locked | device or resource busy | exdev | cross-device link | text file busy |
        etxtbsy | enotempty | directory not empty | file exists | eexist | being used by another process |
        target is busy | eisdir | is a directory | not a directory | enotdir | file name too long | enametoolong |
        too many levels of symbolic links | eloop | different disk drive | user-mapped section open | os error 32 |
        os error 17 | os error 18 | errno 17 | cannot move + file | failed to rename | could not rename |
        unable to rename | winerror 32 | winerror 17
        """,
    ),
    (
        "mount and volume",
        STRONG,
        """
        failedmount | mountvolume | failed to mount | mount failed | unable to mount | mounting + failed |
        failed mounting | failedattachvolume | multi-attach error | wrong fs type |
        unable to attach or mount volumes | error mounting | mount point | persistentvolumeclaim | unbound immediate |
        failed to attach volume | volume node affinity | mount: | mount source path | mount.nfs | mount_smbfs | lvm |
        device mapper | special device | failed to register layer | processing tar file | layer does not exist |
        graphdriver | overlayfs | snapshotter | mountpoint | cannot mount
        """,
    ),
    (
        "write failed",
        GOOD,
        """
        could not write | failed to write | write failed | unable to write | error writing | cannot write |
        failed to save | unable to save | write error | failed to persist | rdb + disk | can't save in background |
        failed opening + rdb | bgsave | write to file | log segment | translog | snapshot failed |
        unable to create directory | can't write | could not create directory | failed to create directory |
        cannot create directory | unable to create file | misconf | failed to flush | write-ahead | could not save |
        error saving | failed writing | unable to persist
        """,
    ),
    (
        "damage word",
        GOOD,
        """
        unreadable | inconsistent | index file | magic number | invalid header | checkpoint | damaged | raid | zfs |
        sector | bad object | wal | aof
        """,
    ),
    (
        "storage topic",
        HINT,
        """
        disk | filesystem | file | directory | folder | volume | partition | inode | storage | bucket | s3 | nfs |
        sqlite | innodb | tablespace | archive | zip | tar | snapshot | backup | hdfs | ceph | minio | shard | index |
        database | cache_root | blob | mount | fs | path | rename | unlink | copyfile | readfile | block | chunk |
        image | asset | save | nbt
        """,
    ),
)
