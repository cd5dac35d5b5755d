"""The words of known error texts: which category each speaks for, and how severe it sounds.

A phrase is lower case.  Its longest word must stand in the text as a whole word (so that a word index can find it);
its ends may run on into longer words.  `a + b` asks for both.  All phrases of one rule are one piece of evidence:
further ones only confirm it.
"""

from __future__ import annotations

from dataclasses import dataclass

# Weights.  A root cause outweighs the wrapper that reports it, and a wrapper outweighs a mere topic word.
DECISIVE, STRONG, GOOD, HINT, TRACE = 12.0, 7.0, 4.0, 2.0, 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One named piece of evidence for one label."""

    label: str
    name: str
    weight: float
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShapeRule:
    """Evidence that needs a regular expression; it runs only where one of the `gates` occurs."""

    label: str
    name: str
    weight: float
    gates: tuple[str, ...]
    regex: str


def _rules(label: str, *groups: tuple[str, float, str]) -> tuple[Rule, ...]:
    """One label's rules; phrases are parted by `|` and white space around them does not count."""
    return tuple(
        Rule(label, name, weight, tuple(" ".join(p.split()) for p in phrases.split("|") if p.strip()))
        for name, weight, phrases in groups
    )


MEMORY = _rules(
    "memory",
    (
        "device memory exhausted",
        DECISIVE,
        """
        cuda out of memory | cuda error: out of memory | cuda_error_out_of_memory | cudaerrormemoryallocation |
        hip out of memory | mps backend out of memory | vk_error_out_of_device_memory | vk_error_out_of_host_memory |
        vk_error_out_of_pool_memory | erroroutofdevicememory | erroroutofhostmemory | outofmemoryerror |
        gl_out_of_memory | e_outofmemory | 0x8007000e | cl_mem_object_allocation_failure |
        cublas_status_alloc_failed | vkallocatememory | cudnn_status_alloc_failed | oom when allocating tensor |
        failed to allocate device memory | webgl: out_of_memory | ran out of memory trying to allocate |
        not enough gpu memory | not enough vram | out of vram | cudamalloc
        """,
    ),
    (
        "heap exhausted",
        DECISIVE,
        """
        java heap space | heap out of memory | heap limit allocation failed | ineffective mark-compacts |
        gc overhead limit exceeded | outofmemoryexception | bad_alloc | memoryerror | allowed memory size of |
        array buffer allocation failed | arraymemoryerror | metaspace | permgen space | direct buffer memory |
        array dimensions exceeded | requested array size exceeds vm limit | heap exhausted | invalid string length |
        cannot create a string longer than | runtime: out of memory | memory allocation of | enomem |
        cannot allocate memory | could not enlarge memory | nomemoryerror | zend_mm_heap corrupted |
        memory limit exceeded | memory limit reached | handle_alloc_error | oom command not allowed |
        exceeded the memory limit | exceeded memory limit | container memory limit | failed to allocate memory |
        out of shared memory | unable to create new native thread | unable to create native threads |
        cannot create native thread | would use + memory allowed | jvm heap | memory exhausted | not enough memory |
        insufficient memory | insufficient system resources | insufficientmemory | out_of_memory |
        heapdumponoutofmemoryerror | exceeded its memory | memory limits | capacity overflow | cannot map pages |
        virtualalloc | paging file is too small | errno=1455 | os error 1455 | maxmemory |
        circuit_breaking_exception | data too large, data for | out of video memory | out of gpu memory |
        not enough quota | heap size + exceeded | insufficient + memory | out of heap |
        shared memory segment + allocate | oom killer | would exceed the memory | exceeds the memory | memory budget |
        outofmemory | could not reserve enough space | cannot reserve | failed to reserve | mmap failed
        """,
    ),
    (
        "out of memory",
        STRONG,
        """
        out of memory | oom | oomkilled | oom_reaper | oom_kill | unable to allocate | could not allocate |
        cannot allocate | can't allocate | failed to allocate | allocation failed | allocation failure |
        allocation error | memory overflow | failed to malloc | malloc failed | malloc failure | realloc failed |
        out-of-memory | mem alloc | failed allocation | nicht genügend arbeitsspeicher | мало памяти |
        недостаточно памяти | memoria insuficiente | mémoire insuffisante | 内存不足 | メモリ不足
        """,
    ),
    (
        "killed for memory",
        STRONG,
        """
        oomkilled: true | exit status 137 | exitcode: 137 | exitcode 137 | code=137 | returned 137 | error 137 |
        memory cgroup out of memory | killed process + anon-rss | killed process + total-vm | sent sigkill |
        signal: killed | sigkill + memory | died with <signals.sigkill: 9> | returncode: -9 | exit code -9 |
        exitcode: -9 | exitcode=-9 | cc1plus: killed | killed (program cc1plus) | low on resource: memory | jetsam |
        low-memory | evicted + memory | exceeding memory limits | signal 9 | killed signal terminated program |
        exitcode 247 | running beyond physical memory limits | running beyond virtual memory | executorlostfailure |
        container killed by yarn | memory pressure | memory warning | terminated due to memory issue |
        stopped by sigkill | exit code: 137 | code 137 | terminated by signal sigkill | "exitcode": 137
        """,
    ),
    (
        "native memory fault",
        STRONG,
        """
        segmentation fault | segmentation violation | segfault | sigsegv | sigbus | bus error | access violation |
        exception_access_violation | exc_bad_access | kern_invalid_address | general protection fault | signal 11 |
        exit status 139 | exitcode: 139 | exit code: 139 | "exitcode": 139 | code 139 | c0000005 |
        accessviolationexception | accessviolation | attempted to read or write protected memory |
        unable to handle kernel paging request | kernel null pointer dereference | unhandled page fault |
        segv_maperr | segv_accerr | oops: general protection | memory could not be read |
        memory could not be written | bad access | exit code -11 | bad_module_info | kernel mode fault |
        null address | unspecified launch failure | dataloader worker + killed by signal | killed by signal: killed |
        stack trace + libc | access_violation | eip | nonpaged area | page_fault_in_nonpaged_area | in an unmapped |
        unmapped memory | misaligned pointer | wild pointer | dangling pointer
        """,
    ),
    (
        "heap corruption",
        DECISIVE,
        """
        double free | corrupted double-linked list | malloc(): | malloc: *** error | invalid pointer + free() |
        munmap_chunk | heap-buffer-overflow | use-after-free | use after free | stack-buffer-overflow |
        stack-use-after | global-buffer-overflow | 0xc0000374 | stack smashing detected | buffer overflow detected |
        addresssanitizer | leaksanitizer | memorysanitizer | -1073740940 | hwaddresssanitizer | invalid read of size |
        invalid write of size | conditional jump or move depends | valgrind | pointer being freed was not allocated |
        incorrect checksum for freed object | heap block at | corrupt heap | heap has been corrupted |
        heap corrupted | slab-out-of-bounds | kasan | corrupted unsorted chunks | freed memory | mte: tag | tcache |
        corrupted top size | 0xdddddddd | 0xfeeefeee | stack overrun | kfence | scudo | free(): | corrupted heap |
        realloc(): | asan | detected buffer overflow | invalid next size | corrupted size | ubsan | guard page |
        block corruption | corrupted fastbin
        """,
    ),
    (
        "memory leak",
        DECISIVE,
        """
        memory leak | leak detected | detected memory leaks | definitely lost | indirectly lost | resource leak |
        leaked | maxlistenersexceededwarning | likely a leak | leaking | leak: bytebuf.release() | jobtempalloc |
        has not been freed | was never released | memory growth | memleak | allocations that have not been freed |
        unfreed
        """,
    ),
    (
        "device memory fault",
        DECISIVE,
        """
        cuda_error_illegal_address | misaligned address | cudaerrorillegaladdress | memory access fault by gpu |
        illegal memory access | gpu fault address | xid 31 | mmu fault | memory access out of bounds
        """,
    ),
    (
        "memory topic",
        HINT,
        """
        memory | heap | malloc | calloc | realloc | mmap | allocate | allocation | allocator | vram | swap | rss |
        ram | vkfreememory | garbage | kmalloc | vmalloc | cgroup | arraybuffer | dealloc | pool overflow | free() |
        oom-score
        """,
    ),
    (
        "out of bounds in native code",
        GOOD,
        """
        core dumped | exit code 134 | sigabrt + malloc | unhandled signal | program received signal | crash dump |
        minidump | crashed with signal | __gi_raise | libc.so + sig | corrupted + aborted
        """,
    ),
    (
        "exit after memory fault",
        DECISIVE,
        """
        -1073741819 | 3221225477 | 0xc0000005 | exit code 139 | exited with code 139 | exit code 137 |
        exited with code 137 | heap corruption
        """,
    ),
)

NETWORK = _rules(
    "network",
    (
        "connection refused",
        STRONG,
        """
        connection refused | econnrefused | connectionrefusederror | connectionrefused | err_connection_refused |
        actively refused it | connection was refused | refused the connection | could not connect to server |
        refused to connect | no connection could be made | соединение отвергнуто | verbindung verweigert |
        connexion refusée | conexión rechazada | errno 111 | 10061 | os error 111
        """,
    ),
    (
        "connection lost",
        STRONG,
        """
        econnreset | connection reset | reset by peer | connectionreseterror | err_connection_reset | socket hang up |
        broken pipe | epipe | brokenpipeerror | econnaborted | connection aborted | connectionabortederror |
        remotedisconnected | remote end closed connection | connection was forcibly closed |
        forcibly closed by the remote host | server has gone away | lost connection | connection lost |
        connection was lost | connection closed | connection was closed | connection is closed |
        connection has been closed | connection terminated | connection unexpectedly | closed by remote host |
        connection dropped | dropped connection | err_connection_closed | terminating connection due to |
        prematurely closed | premature close | upstream prematurely | unexpectedly closed | closed unexpectedly |
        transport endpoint is not connected | use of closed network connection | enotconn | the remote end hung up |
        end of communication channel | connection interrupted | peer closed | socket closed | closed the connection |
        disconnected from | connection has been terminated | socket is closed | peer reset | forcefully closed |
        server disconnected | 10054 | 10053 | connectionclosed | reset before headers | sock_disconnected |
        disconnect/reset | transport is closing | transport closed | transport failure | connection failure |
        connection broken | client disconnected | serverdisconnectederror | channel is closed |
        err_stream_premature_close | stream closed | stream was reset | rst_stream | refused_stream | goaway |
        lost its connection | no longer connected | link is down | socket error | early eof | unexpected disconnect |
        tls connection was non-properly | packets out of order | got timeout reading communication packets |
        got an error reading communication packets | could not receive data from server | could not send data to |
        client has closed | connection to the server was lost | session terminated by | conn reset |
        no ping response | peer has closed | bad record mac | bad packet
        """,
    ),
    (
        "name resolution",
        DECISIVE,
        """
        enotfound + getaddrinfo | getaddrinfo | eai_again | eai_noname | name or service not known |
        nodename nor servname | could not resolve host | couldn't resolve host | no such host | dns error |
        unknownhostexception | unknown host | failed to lookup address | name resolution | nameresolutionerror |
        servfail | err_name_not_resolved | host not found | no address associated with hostname |
        could not resolve hostname | nxdomain | lookup + server misbehaving | dns lookup | failed to resolve host |
        cannot resolve host | 11001 | dns resolution | gaierror | could not translate host name | dns_probe_finished |
        unable to resolve host | dns query | dns failure | can't resolve + hostname | unknownhost |
        failed to resolve + dns | name not resolved | temporary failure resolving | unresolvedaddressexception |
        dns server
        """,
    ),
    (
        "host unreachable",
        STRONG,
        """
        enetunreach | ehostunreach | no route to host | network unreachable | host unreachable | enetdown |
        network is down | noroutetohostexception | err_internet_disconnected | err_address_unreachable | no internet |
        err_network_changed | os error 113 | can't assign requested address | eaddrnotavail |
        cannot assign requested address | endpoint unreachable | unreachable host | is unreachable | not reachable
        """,
    ),
    (
        "connect time-out",
        DECISIVE,
        """
        connection timed out | connect timed out | connecttimeout | connecttimeouterror | connecttimeoutexception |
        etimedout | connection timeout | und_err_connect_timeout | err_connection_timed_out | timed out connecting |
        timeout connecting | connect: operation timed out | connect timeout | os error 110 | handshake timed out |
        handshake timeout | timeout while connecting | dial tcp + i/o timeout | timed out waiting for connection |
        connection attempt failed | timed out trying to connect | 10060 | failed to connect + timed out | errno 110 |
        keepalive ping failed | ssl handshake timed
        """,
    ),
    (
        "cannot connect",
        GOOD,
        """
        failed to connect | could not connect | couldn't connect | unable to connect | cannot connect |
        can't connect | connection failed | connection error | connect failed | connect error | connectionerror |
        connection attempt | failed to establish a new connection | newconnectionerror | failed to dial | dial tcp |
        dial udp | error connecting | error while connecting | maxretryerror | max retries exceeded with url |
        failed connection | failed to establish connection | communications link failure | nobrokersavailable |
        brokers are down | dialing | no servers available | leader_not_available |
        connection could not be established | network error | network_error | networkerror | err_network |
        failed to fetch | fetch failed | networkexception | operationalerror + connect | trouble connecting |
        no available server | serverselectiontimeouterror | mongoserverselectionerror | not connected |
        mongonetworkerror | mongooseserverselectionerror | connectexception | connectfailure | no reachable servers |
        all broker connections | lost connectivity | connection problem | cannot reach | can't reach |
        unable to reach | could not reach | failed to reach | host is down | failed to make connection |
        connection issue | failed to negotiate | master_not_discovered_exception | no master | no responders |
        clusterdown | not discovered | no cluster leader | notconnected | failed to bind to any |
        link not established | failed to create pod sandbox + network | cni | networkplugin | notwritableprimary
        """,
    ),
    (
        "transport security broke off",
        STRONG,
        """
        ssl_error_syscall | unexpected eof while reading | eof occurred in violation of protocol | ssl syscall error |
        ssl: unexpected_eof | remote host terminated the handshake | client network socket disconnected |
        gnutls_handshake | first record does not look | tls: unexpected message |
        before secure tls connection was established | ssl3_read_bytes | ssl_read | ssl_write |
        schannel: failed to receive handshake | handshake_failure | tlsv1 alert | handshake failure | gnutls: error |
        gnutls_recv | tls packet with unexpected length | ssl_do_handshake() failed | sslhandshakeexception |
        handshake failed | ssl protocol error | err_ssl_protocol_error
        """,
    ),
    (
        "truncated transfer",
        STRONG,
        """
        incompleteread | incomplete read | chunkedencodingerror | invalidchunklength | content-length mismatch |
        transfer closed with | unexpected eof | unexpected end of stream | premature end of |
        bytes of body are still expected | rpc failed | fetch-pack | err_incomplete_chunked_encoding |
        err_content_length_mismatch | download failed | failed to download | error downloading |
        download interrupted | net/http: request canceled | contentlengtherror | unable to download |
        could not download | content length | failed to fetch + archive | hash sum mismatch | bytes missing |
        failed downloading | invalid chunk | shasum check failed | body is still | download + failed |
        integrity + truncated | failed to receive | incomplete download | short read | incomplete response |
        smudge + error
        """,
    ),
    (
        "page instead of data",
        STRONG,
        """
        unexpected token '<' | <!doctype | invalid json response body | jsondecodeerror + html | unexpected token < |
        expected json + html | unexpected content type text/html | expected application/json but got text/html
        """,
    ),
    (
        "gateway answers",
        GOOD,
        """
        bad gateway | service unavailable | upstream connect error | no healthy upstream | no live upstreams |
        503 service | econnreset + proxy | proxy error | tunneling socket could not be established | eproto |
        proxyerror | error occurred while trying to proxy | http status 502 | status code 502 |
        unable to access 'https | err_tunnel_connection_failed | cloudflare | err_http2_protocol_error |
        err_empty_response | empty reply from server | cannot connect to proxy | bad status line | badstatusline |
        no response from
        """,
    ),
    (
        "message link",
        GOOD,
        """
        missed heartbeats | heartbeat + disconnect | 1006 | abnormal closure | websocket connection |
        websocket: close | mqtt | amqp | amqpconnectionerror | stomp | websocket closed | ws closed | going away |
        ping timeout | pong | keepalive | connectionclosederror | connectionclosedexception | no heartbeat |
        ice failed | ice connection | stun | turn server | webrtc | gateway websocket | socket.io | signalr |
        heartbeat timeout | lost heartbeat | session expired + zookeeper | stale connection | nats: | nats_io |
        reconnecting | reconnected | broker may not be available | broker transport failure | node -1 disconnected |
        fetchfailed | websocket error | closed with code | not coordinator | group coordinator | bootstrap broker |
        connectionlossexception | lobby + disconnect | peer disconnected
        """,
    ),
    (
        "network topic",
        HINT,
        """
        socket | tcp | udp | network | peer | connection | connect | dial | dns | hostname | websocket | tls | ssl |
        packet | proxy | gateway | upstream | remote | endpoint | broker | listener | handshake | http | socks |
        router | host | server | fetch | unreachable | quic | http2 | h2 | reconnect | disconnected
        """,
    ),
)

STORAGE = _rules(
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

BUILD = _rules(
    "build",
    (
        "compiler complaint",
        STRONG,
        """
        undeclared identifier | use of undeclared | has not been declared | implicit declaration |
        unresolved external symbol | unresolved externals | duplicate symbol | multiple definition of |
        linker command failed | ld returned 1 exit status | collect2: error | cannot find -l |
        undefined symbols for architecture | not found for architecture | library not found for -l |
        framework not found | no matching function for call | does not name a type | expected unqualified-id |
        expected primary-expression | expected ';' | template argument | static assertion failed |
        conflicting types for | incompatible types | cannot find symbol | package does not exist |
        unresolved reference | compilation failure | compilation failed | compilation error | compile error |
        compiler error | failed to compile | could not compile | cannot compile | compilation terminated |
        aborting due to | borrow of moved value | mismatched types | cannot borrow | borrowed value does not |
        cannot find value | cannot find type | cannot find function | no method named | trait bound |
        imported and not used | declared and not used | declared but not used | too many errors |
        cannot use + as type | missing return | is not assignable to | does not exist on type | cannot find name |
        has no exported member | (are you missing a | does not contain a definition for |
        cannot convert from | unknown type name | too few arguments to function | incomplete type |
        relocation truncated | recompile with -fpic | bad value + for -march | unrecognized command line option |
        unrecognized command-line option | unknown argument: | -wunused | -wdeprecated | -werror |
        symbol multiply defined | expected expression | non-void function does not return | undefined identifier |
        ambiguous call | method does not override | is not abstract and does not override | error: expected |
        lifetime may not live long enough | type annotations needed | unused variable | control reaches end |
        cannot assign to | error lnk | cannot infer type | unreachable code | variable not found |
        failed to transpile | redeclared | not a member of | no member named | invalid use of | deduced conflicting |
        llvm error | undefined reference | ld: error | linking with | build constraints exclude all go files |
        unexpected token, expected | regeneratorruntime is not defined | invalid subscript + shader |
        expected declaration | unresolved identifier | cannot find + in scope | is ambiguous | expected identifier |
        use of unresolved | redefinition | lto | cannot open input file | linker error | unterminated | non-static |
        syntax error before | parse error before | unexpected end of file + gcc | incompatible pointer |
        macro + undefined | not declared in this scope | missing type specifier | no such instruction
        """,
    ),
    (
        "build tool failed",
        GOOD,
        """
        build failed | build failure | failed to build | build error | error during build |
        execution failed for task | ninja: build | subcommand failed | build stopped | failed to bundle |
        failed building | error running link command | cmake error | xcodebuild | buildexception | bundling failed |
        failed to minify | command failed with exit code + compile | rollup failed | could not build | cannot build |
        transformation failed | ar: | mojofailureexception | error building | buildkit | failed to solve | ptxas |
        maven-compiler-plugin | cc1plus | code generation | failed to package | aapt2 | aapt | dexing | d8: | r8: |
        mergedex | duplicate class | manifest merger failed | webpack compiled with | failed with + webpack |
        build process | failed to emit | unity build | pre-transform
        """,
    ),
    (
        "bundler complaint",
        STRONG,
        """
        module parse failed | module build failed | module not found: error |
        you may need an appropriate loader | you may need an additional loader | failed to resolve import |
        syntaxerror: unexpected token + loader | parse error + rollup | could not load + imported by |
        is not exported by | could not resolve entry module | failed to parse source for import | modulebuilderror |
        moduleparseerror | modulenotfounderror: module not found: error | rolluperror | transform failed | [vite] |
        vite:css | vite:esbuild | babel-loader | sass-loader | css-loader | ts-loader | unknown word | node-sass |
        note that you need plugins | attempted import error | css-minimizer | multiple assets emit |
        prerendering page | error occurred prerendering | collecting page data | commonjs--resolver |
        html-webpack-plugin | unexpected character + import | import-analysis
        """,
    ),
    (
        "hot update",
        DECISIVE,
        """
        hot reload | hot update | hot module | hotapply | hmr | rude edit | is not accepted | update propagation |
        live reload | fast refresh | edit and continue | cannot apply changes | cannot apply update |
        hot replacement | hot-update | hotreload | require a full restart | full reload | hot restart | livereload |
        page reload | hot-reload | applying source changes
        """,
    ),
    (
        "shader",
        DECISIVE,
        """
        shader compile | shader compilation | shader error | compile shader | compiling shader | shadermodule |
        shader_module | webglprogram | webglshader | getshaderinfolog | getprograminfolog | glsl | wgsl | hlsl |
        spir-v | spirv | fragment shader | vertex shader | compute shader | geometry shader | shader link |
        gl_fragcolor | gl_position | fxc | glslang | naga | tint | validate_status | no precision specified |
        fx compiler | shader source | shaderlab | pixel shader | shader program | error x3000 | compileshader |
        createshadermodule | create_shader_module | dxc | link_status | metal shader | shader linking | mtllibrary |
        newlibrarywithsource | shadercompiler | shaders | failed to link program | program link | shader failed |
        globalshaders | render pipeline + entry point | sampler arrays | gl_fragcoord | gl_vertexindex |
        uniform + glsl | cgprogram | vertex program | fragment program | compiling vertex | compiling fragment |
        shader model | shader + error | shader + failed | cg program | sampler2d | varying | vec3 | vec4 |
        entry point + shader | kernel compile | pipeline compilation | pipelinestate + failed | pso | gl_link_status |
        fragcolor | shader object
        """,
    ),
    (
        "build tool named",
        HINT,
        """
        gradle | cmake | msbuild | bazel | gcc | clang | moc | dune | metro | dockerfile | meson | ghc | rustc |
        scons | qmake | nvcc | javac | kotlinc | swiftc | ninja | makefile | make[1] | make[2] | gmake |
        tsc | protoc | proguard | mojo | codegen | il2cpp | make: ***
        """,
    ),
    (
        "bundler named",
        GOOD,
        """
        babel | swc | sass | scss | eslint | grunt | gulp | browserify | parcel | esbuild | postcss | terser |
        uglifyjs | snowpack | rollup | webpack:// | turbopack | entrypoint | [plugin | export + was not found in |
        chunk + conflict
        """,
    ),
    (
        "build topic",
        HINT,
        """
        compile | compiler | compiling | linker | link | bundle | bundler | build | building | obj | header | loader |
        shader | transpile | syntax | parse | typescript | webpack | vite | cargo | maven | msvc | cl.exe |
        preprocessor | macro | identifier | symbol | template | wheel | objc_class | plugin | entry
        """,
    ),
)

DEPENDENCY = _rules(
    "dependency",
    (
        "missing module",
        STRONG,
        """
        modulenotfounderror | no module named | cannot find module | can't find module | module not found |
        cannot find package | err_module_not_found | module_not_found | cannot import name | importerror |
        classnotfoundexception | noclassdeffounderror | no such module | class not found |
        could not load file or assembly | cannot load such file | loaderror | gem::missingspecerror |
        could not find gem | package not found | unable to locate package | no package | missing package |
        nosuchmoduleerror | could not find artifact | could not resolve dependencies | no matching package |
        unresolved import | could not find a declaration file | cannot find crate | can't find crate |
        cannot resolve module | unable to resolve module | required module | not installed | please install |
        pip install | npm install | undefined function + php | call to undefined function | class + not found in |
        missing dependency | ensure crds | no provider for + package | is not in goroot | is not in std |
        missing go.sum entry | module lookup disabled | could not find driver | no suitable driver |
        could not load library | unable to load dll | dllnotfoundexception | missing peer |
        module could not be found | dll was not found | dll load failed | error while loading shared libraries |
        cannot open shared object file | .dll is missing | unsatisfiedlinkerror | library not loaded |
        failed to load library | dlopen | libssl | libgl.so | unable to load shared library |
        failed to load shared library | cannot find the library | cannot load shared | slf4j | can't locate + @inc |
        could not load dynamic library | undefined package | could not load the qt
        """,
    ),
    (
        "version conflict",
        DECISIVE,
        """
        eresolve | peer dep | peer dependency | conflicting peer | unable to resolve dependency tree |
        resolutionimpossible | versionconflict | version conflict | incompatible versions | incompatible version |
        version mismatch | requires a different | conflicting dependencies | dependency conflict |
        could not find compatible versions | no matching version | no matching distribution |
        could not find a version that satisfies | failed to select a version | version solving failed |
        dependency resolver | unmet dependencies | broken packages | unsatisfiableerror |
        solving environment: failed | notarget | etarget | already activated | unsupported engine | ebadengine |
        engine + is incompatible with this module | requires php | your requirements could not be resolved |
        requires python | python_requires | requires-python | unsupportedclassversionerror | unsupported major.minor |
        unsupported class file | class file version | more recent version of the java | compiled against |
        was compiled with | numpy.dtype size changed | was compiled using | node_module_version |
        different node.js version | err_require_esm | err_package_path_not_exported | require() of es module |
        nosuchmethoderror | nosuchfielderror | abstractmethoderror | incompatibleclasschangeerror | linkageerror |
        undefined symbol | symbol not found | symbol lookup error | error relocating |
        methodnotfound + could not load | api version + too old | client version + is too old |
        client version + too new | minimum supported api | requires minimum | requires version | too old for |
        requires rustc | rust-version | requires gradle | minimum supported gradle | msrv | requires go |
        go version + required | unsupported version | version is unsupported | wrong version of |
        mismatched versions | different version of | version skew | please downgrade | needs to be updated |
        no compatible version | could not determine java version | driver version is insufficient | wrong elf class |
        cuda driver version | no kernel image is available | unsupported gpu | compute capability |
        invalid hook call | requires node | manifest unknown | manifest for | no matching manifest |
        pull access denied | errimagepull | imagepullbackoff | exec format error | incompatible architecture |
        no matches for kind | two different versions | could not satisfy | conflicting requirements |
        found incompatible | incompatible module | minimum version | version requirement | requires a newer |
        requires a peer | but version | unmet peer | major.minor version | .net sdk | must be regenerated |
        generated code is out of date | digital envelope routines | err_ossl_evp_unsupported |
        you must install or update .net | framework + was not found + version | netsdk1045 | not compiled with cuda |
        found no nvidia driver | no cuda-capable device | device kernel image is invalid | php extension |
        ext- + missing from your system | ambiguous import | could not find or load main class |
        version of the module | must use import to load es module | wrong python version | abi mismatch |
        abi version | invalid elf header | mach-o, but wrong architecture | is incompatible | not compatible |
        newer than this version | needs a newer | requires java | requires jdk | unsupported java |
        unsupported class version | unsupported python | please use version | minimum required version |
        kernel too old | does not satisfy | doesn't satisfy | cannot be resolved to a version |
        could not resolve version | plugin version | mod requires | requires mod | missing mods | requires forge |
        missing or unsupported mandatory | the server could not find the requested resource | incompatible mod |
        could not apply mixin | mixin apply failed
        """,
    ),
    (
        "deprecation",
        STRONG,
        """
        deprecated | deprecationwarning | futurewarning | will be removed in | deprecation |
        pendingdeprecationwarning | removedindjango
        """,
    ),
    (
        "missing tool or header",
        STRONG,
        """
        command not found | is not recognized as an internal or external command | executable file not found |
        .h: no such file | fatal error: + .h: no such file | python.h | pkg-config | unable to find vcvarsall |
        microsoft visual c++ 14 | no c compiler | c compiler cannot create executables |
        can't find python executable | could not find cmake | no acceptable c compiler | could not find java |
        java_home | no such program | compiler not found | android sdk | mkmf.rb can't find header |
        failed to run custom build command | program not found | spawn + enoent | xcrun: error | xcode-select |
        no developer tools | pg_config | mysql_config | tool not found | .h' file not found | missing header |
        could not find tool | gyp | winget | .hpp: no such file
        """,
    ),
    (
        "failed install",
        GOOD,
        """
        npm err | npm error | gemfile | crates.io | apt-get | dpkg | could not resolve all | unresolved dependency |
        pod install | cocoapods | e404 | is not in this registry | could not find + repository
        """,
    ),
    (
        "removed interface",
        GOOD,
        """
        module + has no attribute | unexpected keyword argument | is not a constructor | got an unexpected keyword |
        unknown keyword argument | has no attribute | no such method | operation not supported |
        protocol not supported | rtnetlink answers | module not found in directory | modprobe |
        unsupported instruction | illegal instruction | is not a function + import
        """,
    ),
    (
        "version word",
        GOOD,
        """
        no longer supported | was removed | removed in | has been removed | toolchain | please update |
        please upgrade | newer version | sdk version | outdated | unresolvable | incompatible with | image not found |
        no longer available | not compatible with | obsolete | not supported by this version | end of life |
        requires at least | is too old
        """,
    ),
    (
        "installer named",
        HINT,
        """
        pip | apt | yum | dnf | bundler | composer | yarn | pnpm | conda | cargo | nuget | homebrew | brew |
        package manager | lockfile | package-lock | mvn | dependency | dependencies | could not resolve |
        failed to resolve | requirements | registry | artifact | go.mod | package.json
        """,
    ),
    (
        "not supported",
        HINT,
        """
        not supported | unsupported | not implemented | unimplemented
        """,
    ),
    (
        "sought library absent",
        DECISIVE,
        """
        could not find a package configuration | package configuration file | pkg-config search path |
        packages were not found | required packages | missing libraries | could not find openssl
        """,
    ),
    (
        "dependency topic",
        HINT,
        """
        package | module | library | version | import | require | plugin | sdk | jar | dll | gem | crate | upgrade |
        install | installed | installation | requirement | constraint | resolve | driver | compatible | classpath |
        dylib | npm | minsdkversion
        """,
    ),
)

CONFIGURATION = _rules(
    "configuration",
    (
        "port in use",
        DECISIVE,
        """
        eaddrinuse | address already in use | address in use | port is already allocated | port is already in use |
        port already in use | only one usage of each socket address | failed to bind | could not bind | cannot bind |
        unable to bind | bind: | already listening | is already being used | already in use + port | port conflict |
        addrinuse | bindexception | bind() to | error binding | listen failed
        """,
    ),
    (
        "missing setting",
        STRONG,
        """
        environment variable | env var | environment variables | env variable | must be set | is missing + config |
        is required + config | missing required | required parameter | must be configured |
        could not resolve placeholder | no value + for + key | missing configuration | missing config |
        no configuration | undefined variable | variable is not set | required key | required option |
        required field | required property | required setting | required value | missing setting | must define |
        improperlyconfigured | secret_key | no default engine | please configure | please specify | is required to |
        database_url | no such setting | not defined in config | expected environment | couldn't find env file |
        validationexception + config | url is required | key is required | provide a valid |
        no credentials found + config | required argument
        """,
    ),
    (
        "invalid setting",
        STRONG,
        """
        invalid configuration | invalid config | configuration error | config error | configuration is invalid |
        bad configuration | misconfigured | misconfiguration | error in config | configuration file | config file |
        configuration object | invalid value for | failed to parse config | error parsing config |
        cannot parse config | could not load config | failed to load config | error loading config |
        unable to load config | unknown configuration | unknown config | unrecognized configuration |
        unknown directive | invalid directive | invalid command | syntax error on line | [emerg] | unknown field |
        yaml: | yaml parse | yamlexception | scannererror | mapping values are not allowed | did not find expected |
        tomldecodeerror | bare keys cannot | invalid interpolation format | additional properties are not allowed |
        unsupported config | error validating data | validationerror( | invalid option | unknown option |
        unrecognized option | unrecognized argument | unrecognized arguments | unknown flag | unknown argument |
        flag provided but not defined | unexpected argument | no such option | unsupported argument |
        unknown setting | unknown parameter | unknown property | bad value for | invalid flag | unknown variable |
        unknown system variable | invalid setting | invalid schema | does not match the api schema | invalid choice |
        invalid argument value | is not a valid value | unrecognized key | unknown key | config.yaml | config.yml |
        config.json | config.toml | application.properties | application.yml | nginx.conf | my.cnf |
        services must be a mapping | configerror | configurationerror | configexception | confignotfound |
        configurationexception | invalid_config | helm + values | unsupported block type | strict decoding error |
        invalid spec | invalid: spec | field is immutable | wrong type for | settings.json | invalid log level |
        invalid timezone | unknown timezone | wrong number of arguments for config | conflicting options |
        mutually exclusive | misspelled | no such plugin | invalid format + config | appsettings.json |
        wrangler.toml | tsconfig.json | invalid environment | deserialize + config | error parsing + yaml |
        option + not recognized
        """,
    ),
    (
        "wrong address or protocol",
        DECISIVE,
        """
        wrong version number | ssl_error_rx_record_too_long | http request to an https server |
        http request was sent to https port | unsupported scheme | unknown scheme | unknown protocol | invalid url |
        malformed url | malformedurlexception | no scheme supplied | missing schema | missingschema | invaliduri |
        invalid uri | invalid connection string | could not parse connection string | unsupported_protocol |
        no protocol specified | invalid port | first path segment in url cannot contain colon | uri malformed |
        relative url without a base | not a valid url | only absolute urls are supported | invalid dsn | url scheme |
        invalid hostport | unsupported database | invalid base url | err_invalid_url | only http(s) protocols |
        ip address + invalid | is not a valid port | failed to parse url | invalid bind address | jdbc url |
        invalid protocol | plain http request | no protocols available | no shared cipher |
        no cipher suites in common | alert protocol version | unsupported protocol | http response to https |
        expects a tls | speaking plain http | no required ssl certificate was sent
        """,
    ),
    (
        "kernel limit too low",
        DECISIVE,
        """
        file watchers | max_user_watches | max_map_count | virtual memory areas | max file descriptors |
        enospc + watch | watch enospc | overcommit_memory | somaxconn | transparent huge pages | max_user_instances |
        memlock | rlimit_memlock | max number of threads | max_connections + set | shmmax | fs.file-max | ulimit |
        nofile | shmall | kernel.sem | inotify | open file resource limit | pyinotify | cannot watch |
        table overflow | neighbour table | max virtual memory | system limit for number of | open file limit |
        rlimit | inotify_add_watch
        """,
    ),
    (
        "target not declared",
        GOOD,
        """
        unknown database | database does not exist | role does not exist | unknown service | no such service |
        no such container | no such host found in upstream | host not found in upstream | namespaces + not found |
        secret + not found | createcontainerconfigerror | serviceaccount + not found | invalid reference format |
        context does not exist | no such network | network + not found | no such image | unknown topic |
        unknown_topic_or_part | stream not found | could not find driver class |
        failed to determine a suitable driver class | failed to configure a datasource | no such profile |
        index.html + not found | no such user | unknown user | no such table: django | no route matches |
        allowed_hosts | default backend | no endpoints available | unknown backend | no matching host |
        could not find a valid + config | nodeselector | didn't match node selector | node(s) didn't match |
        didn't match pod's node affinity | untolerated taint | vhost not found | template not found |
        no such command | unknown command | unable to find profile | server block | tfvars | message too large |
        message is too large | recordtoolargeexception | msgsizetoolarge | maximum payload | payload too large |
        entity too large | max_allowed_packet | exceeds the configured | max.bytes | too large to fetch |
        no password is set | without any password | jetstream not enabled | exceeded quota | unit + not found |
        failed to load environment files | is not recognized as + option | inconsistentclusterid |
        invalid device ordinal | no valid config | cannot use import statement outside a module |
        unknown file extension | unknown collation | unknown character set | no such server | no configured |
        not registered | no default | unknown host key | not whitelisted | wrong port | published ports | no upstream
        """,
    ),
    (
        "setting word",
        GOOD,
        """
        not set | is required | not specified | unmarshal | error unmarshaling | expected type | .env | ini file |
        not provided | please provide | invalid value | illegal value | invalid parameter | datasource | ingress |
        beancreationexception | not configured | must be provided | must specify | must be specified |
        connection string | invalid host | invalid hostname | please set | time zone | additional property |
        parsererror | toml
        """,
    ),
    (
        "configuration topic",
        HINT,
        """
        config | configuration | configure | configured | setting | settings | option | options | flag | variable |
        env | parameter | schema | argument | yaml | properties | yml | invalid | missing | required | specify |
        specified | default | unknown | property | key | value | field | unsupported | docker-compose | compose file |
        configmap | published
        """,
    ),
)

RUNTIME = _rules(
    "runtime",
    (
        "death of a process",
        GOOD,
        """
        workerdied | processdied | brokenprocesspool | worker died | process died | worker + went away |
        process + went away | worker process + not there any more | process + ended by sig | worker + ended by sig |
        worker + ended with status | process + ended with status | ended unexpectedly | exited unexpectedly |
        terminated unexpectedly | terminated abruptly | answered to nothing | gives no heartbeat | no heartbeat for
        """,
    ),
    (
        "missing value",
        DECISIVE,
        """
        nil pointer dereference | invalid memory address or nil pointer | nullpointerexception |
        nullreferenceexception | object reference not set | cannot read property | cannot read properties of |
        cannot set property | cannot set properties of | undefined is not | is not a function | null check operator |
        is nil | unexpectedly found nil | nonetype | undefined method + nil | for nil:nilclass |
        attempt to index a nil | attempt to call a nil | a nil value | unwrap() on a `none` |
        member function + on null | of undefined | nameerror | referenceerror | undefinederror | unboundlocalerror |
        referenced before assignment | before initialization | attempt to compare nil | null value in entry |
        trying to access array offset | undefined index | undefined offset | undefined property |
        undefined array key | uninitialized constant | lateinitializationerror | latenull | undefined variable $ |
        value cannot be null | argumentnullexception | kotlinnullpointerexception |
        uninitializedpropertyaccessexception | missingreferenceexception | noneerror | used on a null value |
        is not iterable | is not an object | invalid get index | base: 'nil' | nonexistent function | script error: |
        attempt to perform arithmetic on | bad argument # | setstate() called after dispose | null instance |
        previously freed | called on null | reading properties of | null object
        """,
    ),
    (
        "wrong type or index",
        STRONG,
        """
        indexerror | out of range | index out of bounds | indexoutofboundsexception | arrayindexoutofboundsexception |
        attributeerror | classcastexception | cannot be cast to | invalidcastexception | unsupported operand |
        unhashable | not subscriptable | not callable | not iterable | cannot unpack | too many values to unpack |
        not enough values to unpack | list index | tuple index | string indices | interface conversion | badargument |
        functionclauseerror | no function clause matching | matcherror | badmatch | badarg | case_clause |
        argumentoutofrangeexception | key not found | keynotfoundexception | nosuchelementexception | nosuchelement |
        stopiteration | invalid literal for int | could not convert | cannot convert | numberformatexception |
        must be of type | missing 1 required | positional argument | wrong number of arguments |
        takes + positional arguments | has incompatible type | uncaught typeerror | bad operand | invalid cast |
        bad cast | illegal cast | unexpected type | argumentcounterror | arityerror | subscript | not a valid index |
        no implicit conversion | notimplementederror | notimplementedexception | length_error | out_of_range |
        bad_variant_access | bad_optional_access | std::logic_error
        """,
    ),
    (
        "assertion or logic",
        STRONG,
        """
        assertion failed | assertionerror | assert failed | debug_assert | precondition failed | device-side assert |
        invariant violation | logic error | should never happen | this is a bug | internal consistency |
        failed assertion | expected condition | unimplemented! | todo! | assertionfailederror | divide by zero |
        division by zero | zerodivisionerror | dividebyzeroexception | integer overflow | arithmetic overflow |
        arithmeticexception | overflowerror | attempt to subtract with overflow | attempt to add with overflow |
        divide error | floating point exception | sigfpe | explicit panic | entered unreachable code
        """,
    ),
    (
        "endless recursion",
        DECISIVE,
        """
        maximum call stack size exceeded | stackoverflowerror | stackoverflowexception | stack overflow |
        recursionerror | maximum recursion depth | too much recursion | stack level too deep | systemstackerror |
        infinite recursion | infinite loop | stack exceeds | has overflowed its stack | maximum update depth |
        too many re-renders | circular reference | circular dependency | circular import | circular structure
        """,
    ),
    (
        "shape or encoding",
        STRONG,
        """
        shape mismatch | shapes cannot be multiplied | size mismatch | dimension mismatch | size of tensor |
        mat1 and mat2 | could not broadcast | operands could not be broadcast |
        expected all tensors to be on the same device | incompatible shapes | cuda_error_assert |
        expected scalar type | expected object of | invalid shape | not aligned | dimension out of range |
        unicodedecodeerror | unicodeencodeerror | codec can't decode | codec can't encode | invalid utf-8 |
        invalid start byte | malformed utf-8 | incompatible character encodings | malformedinputexception |
        invalid continuation byte | jsondecodeerror | json.decoder | unexpected non-whitespace | expecting value |
        json parse error | invalid json | invalid character + looking for | jsonparseexception | jsonsyntaxexception |
        malformed json | expected value at line | cannot deserialize | cudnn error | state_dict | weight shape |
        inhomogeneous shape | ndarray | cudnn_status_execution_failed | cudnn_status_not_initialized |
        cublas_status_execution_failed | cudnn_status_bad_param | nccl error | cannot handle this data type |
        invalid byte | illegal character | unmappable character
        """,
    ),
    (
        "framework check",
        STRONG,
        """
        headers already sent | headers after they are sent | err_http_headers_sent |
        expressionchangedafterithasbeenchecked | expression has changed after it was checked | unique "key" prop |
        each child in a list | hydration | did not match + server | minified react error | rendered more hooks |
        rendered fewer hooks | invalid hook | failed prop type | cannot update a component |
        can't perform a react state update | unmounted component | objects are not valid as a react child |
        nullinjectorerror | no provider for | [vue warn] | staticinjectorerror | act(...) | setstate() |
        renderflex overflowed | a renderflex | no routes match | invalid element type | hydrating |
        hooks can only be called | not wrapped in act | ng0100 | error: ng0
        """,
    ),
    (
        "graphics validation",
        STRONG,
        """
        wgpu error | validation error | validationerror: + buffer | gpuvalidationerror | vuid | gl_invalid_operation |
        gl_invalid_enum | gl_invalid_value | invalid_operation | invalid_enum | invalid_value + gl | bind group |
        bindgroup | swapchain | render pass | framebuffer incomplete | texture format | d3d12 error | id3d12 |
        command buffer | createbindgroup | descriptor set | command encoder | copytexture | buffer usage |
        texture usage | webgl: | gl error | vk_error_validation_failed | render pipeline | while validating |
        while calling | surface is outdated | mtldebug | wgpu::
        """,
    ),
    (
        "uncaught",
        HINT,
        """
        uncaught exception | unhandled exception | unhandledpromiserejection | unhandled promise rejection |
        uncaught error | unhandled rejection | panic: | panicked at | fatal exception: main |
        terminate called after throwing | genserver | terminating | runtime error | runtimeexception |
        uncaughtexception | script failure | lua error | traceback | noproc | unknown function | notice: | on a null |
        in promise | unwrap() | expect() | nomethoderror | undefined method | no method + named | unknown error |
        unexpected error | invalid operand | wrong thread state
        """,
    ),
    (
        "weak value word",
        GOOD,
        """
        is null | on null | of null | null argument | npe | is undefined | nil value | is not defined | null pointer |
        none value | unwrapping
        """,
    ),
    (
        "generic exception class",
        GOOD,
        """
        valueerror | illegalargumentexception | argumentexception | argumenterror | illegalstateexception |
        invalidoperationexception | rangeerror | unsupportedoperationexception | formatexception | invalid operation |
        typeerror | keyerror | invalid_argument | invalid syntax | out of bounds | unknown column | no such column |
        expected + got
        """,
    ),
    (
        "logic word",
        GOOD,
        """
        assert | assertion | nan | infinity | invalid state | internal error | bug in | unexpected state |
        not handled | illegal state | invariant | unhandled case | ensure condition failed | lowlevelfatalerror |
        internal server error | statuscode: 500 | unexpected response | exception ticking | encountered a panic
        """,
    ),
    (
        "parse word",
        GOOD,
        """
        unexpected token | parse error | failed to parse | unexpected character | parseexception | deserialize |
        deserialization | serialization error | matrix | tensor | dtype | charmap | surrogate | json parse |
        encoding error | unexpected end of json
        """,
    ),
    (
        "partly loaded module",
        STRONG,
        """
        partially initialized module
        """,
    ),
    (
        "runtime topic",
        TRACE,
        """
        undefined | null | nil | none | unexpected | invalid | cannot | function | method | object | value | type |
        class | array | string | int | callback | argument | index | variable | element | expected | instance |
        property | attribute | handler
        """,
    ),
)

PERFORMANCE = _rules(
    "performance",
    (
        "request time-out",
        STRONG,
        """
        timeout exceeded | deadline exceeded | deadline_exceeded | deadlineexceeded | read timed out | readtimeout |
        readtimeouterror | readtimeoutexception | sockettimeoutexception | timeouterror | timeoutexception |
        upstream timed out | request timeout | request timed out | response timeout | gateway timeout |
        task timed out | statement timeout | canceling statement due to | query timeout | query_canceled |
        maximum execution time | max_execution_time | execution time exceeded | timeout of | exceeded timeout |
        exceeded the timeout | command timeout | lambda + timed out | socket timeout | i/o timeout | idle timeout |
        esockettimedout | err_timed_out | maxtimemsexpired | rpc timeout | jest.settimeout | exceeded time limit |
        execution timed out | wait_timeout | aborted due to timeout | activedeadlineseconds |
        progressdeadlineexceeded | asynctimeoutexception | requesttimeout | timeout waiting | timed out waiting |
        dépassé le délai | zeitüberschreitung | tiempo de espera | превышено время | 超时 | タイムアウト |
        timeout after |
        query timed out | http timeout | requesttimedout | gateway time-out | 504 gateway | exceeded 30000ms |
        exceeded the time limit | leader election lost | failed to renew lease | async callback was not invoked
        """,
    ),
    (
        "statement or script limit",
        DECISIVE,
        """
        maximum execution time | canceling statement due to statement timeout | upstream timed out |
        task timed out after | read timed out | context deadline exceeded | max_statement_time | worker timeout |
        maximum statement execution time | script timed out | response header from upstream |
        lambda timed out | collective operation timeout | function timed out | execution timeout expired |
        exceeded maximum execution | exceeded maximum timeout | navigation timeout | http request timed out
        """,
    ),
    (
        "pool or queue exhausted",
        DECISIVE,
        """
        too many connections | too many clients already | remaining connection slots | pool exhausted |
        queuepool limit | pool is full | pool is exhausted | max clients reached | unable to acquire a connection |
        acquire connection | connection is not available, request timed out | hikaripool | hikari | queue is full |
        queue capacity | rejectedexecutionexception | esrejectedexecution | rejected execution | queue_full |
        no available threads | thread starvation | bufferexhaustedexception | slow consumer | slowconsumer |
        worker_connections are not enough | too many open files | emfile | enfile | listen queue | buffer overrun |
        max pool size | all pooled connections were in use | resource exhausted | resource_exhausted | maxclients |
        max_children | too many concurrent | circuitbreakingexception | overloaded | too many requests |
        too many pending | sorry, too many clients | 53300 | out of connections | waiting for connection from pool |
        no free + slots | maximum number of connections | connections exhausted | thread pool + exhausted |
        maximum pending | process table overflow | buffer is full | dropped events | messages dropped |
        dropping messages | timeout acquiring | max_user_connections | file descriptor limit | conntrack: table full |
        nf_conntrack | table full, dropping | commitfailedexception | max.poll.interval.ms | maximum consumers |
        waiting queue | cannot get a connection, pool error | timeout waiting for idle object |
        unable to get managed connection | no more connections | connection limit exceeded | too many active |
        busy running a script | stream + throttled | exhausted + pool | insufficient cpu
        """,
    ),
    (
        "rate limit",
        DECISIVE,
        """
        rate limit | rate limited | rate limiting | ratelimit | ratelimiterror | rate_limit | rate exceeded |
        too many requests | throttled | throttling | throttlingexception | toomanyrequests |
        toomanyrequestsexception | requests per minute | provisionedthroughputexceeded | request limit | rate-limit |
        rate-limited | toomanyrequest | flood wait | floodwait | requests per second | overloaded_error |
        limit exceeded + requests | quota exceeded for | reduce your request rate | slowdown: | too many login |
        rate is exceeded
        """,
    ),
    (
        "pause or lag",
        DECISIVE,
        """
        gc pause | stop-the-world | blocked for | thread blocked | has been blocked | running slow | long gc |
        can't keep up | cannot keep up | could not keep up | skipped + frames | did the system time change | frames! |
        behind, skipping | input dispatching timed out | application not responding | executing service |
        broadcast of intent | too much work on its main | clocksource | slow query | slow log | slow requests |
        handler took | forced reflow | [violation] | main thread checker + slow | applyconfiguration took too long |
        apply request took too long | heartbeat interval + blocked | took longer | is taking longer |
        taking too long | unreasonable amount of time | spent + collecting in the last | jvmgcmonitorservice |
        jvmpausemonitor | stop the world | event loop blocked | pleg is not healthy |
        leader failed to send out heartbeat on time | possible syn flooding
        """,
    ),
    (
        "device hung",
        DECISIVE,
        """
        dxgi_error_device_hung | device_hung | device hung | gpu hang | gpu hung | vk_error_device_lost |
        device lost | devicelost | device removed | dxgi_error_device_removed | device_removed | device_lost |
        dxgi_error_device_reset | gpu timeout | ring + timeout | gpu reset | gpu recovery |
        display driver stopped responding | nccl + timeout | processgroupnccl | cuda_error_launch_timeout |
        launch timed out | context_lost_webgl | context lost | cudaerrorlaunchtimeout | gpucrash | removedevice
        """,
    ),
    (
        "time-out word",
        GOOD,
        """
        timed out | timeout | time out | timed-out | timeouts | not responding | did not respond | etime |
        took too long | no response within | did not complete
        """,
    ),
    (
        "audio underrun",
        DECISIVE,
        """
        underrun | underruns | overrun | overruns | xrun | xruns | buffer underflow | snd_pcm | snd_pcm_writei |
        snd_pcm_readi | alsa | audio + drop | audio buffer | jackd
        """,
    ),
    (
        "slowness word",
        GOOD,
        """
        slow | lag | lagging | hang | hangs | hung | stall | stalled | stalls | latency | high load | cpu usage |
        high cpu | is stuck | delayed | paused | unresponsive | clock drift | dropped frames | frame drop |
        long task | event loop | event-loop | eventloop | not keep up | bottleneck | freeze | frozen | freezes
        """,
    ),
    (
        "watchdog",
        STRONG,
        """
        watchdog | hung_task | anr | blocked for more than | soft lockup | hard lockup | detected stalls | tdr |
        stuck for | task blocked | starvation | starved
        """,
    ),
    (
        "load word",
        GOOD,
        """
        pool size | queue length | backlog | max_connections | overflowed | too busy | backpressure | slowdown |
        slow down | retry after | usage limit | pool timeout | resource pool | no connections available |
        circuit breaker | circuitbreaker | load shedding | queue full | queue overflow | quota + requests |
        exceeded your current quota
        """,
    ),
    (
        "performance topic",
        HINT,
        """
        timed | queue | pool | throttle | deadline | limit | exceeded | seconds | duration | wait | waiting | long |
        worker | workers | throughput | buffer | capacity | executor | threads | performance | ms | expired | overload
        """,
    ),
)

CONCURRENCY = _rules(
    "concurrency",
    (
        "deadlock",
        DECISIVE,
        """
        deadlock | deadlocked | deadlocks | all goroutines are asleep | 40p01 | er_lock_deadlock | edeadlk |
        lock order inversion | lock-order-inversion | sharelock | blocked by process | ora-00060 |
        deadlockloserdataaccessexception | lock inversion | circular lock | possible recursive locking | verklemmung |
        interblocage | interbloqueo | dead lock | 死锁 | デッドロック
        """,
    ),
    (
        "lock wait",
        DECISIVE,
        """
        lock wait timeout | database is locked | database table is locked | database is busy | sqlite_busy |
        sqlite_locked | lock timeout | could not obtain lock | could not get lock | failed to get lock |
        unable to lock | state lock | unable to obtain lock | lock request time out | lock not available | 55p03 |
        waiting for lock | waiting to acquire | unable to acquire + lock | lockerror | lockexception | locktimeout |
        lock timed out | lockacquisitionexception | locktimeoutexception | could not lock | could not set lock |
        already held by process | already locked | is locked by another | resource is locked | resourcelockederror |
        unable to create + .lock | .lock': file exists | index.lock | failed to lock | lock acquisition |
        lock is held | acquire lock | cannot lock | can't lock | lock obtain timed out | lockobtainfailedexception |
        lockobtainfailed | ora-00054 | blocking waiting for file lock | redlock | ioerror: lock | io error: lock |
        exclusive lock | to lock the resource | metadata lock | waiting for table | semaphore timeout |
        couldn't acquire | unable to get lock | pid lock | locked database | flock | lock contention |
        acquiring lock | lost lock | lock lost
        """,
    ),
    (
        "write conflict",
        DECISIVE,
        """
        could not serialize access | serialization failure | serializationfailure | 40001 | restart transaction |
        writeconflict | write conflict | optimisticlock | optimistic lock | optimistic locking |
        optimisticlockexception | staleobjectstateexception | stale object | staleobjecterror |
        row was updated or deleted by another transaction | object has been modified |
        please apply your changes to the latest version | version_conflict_engine_exception | update conflict |
        conditionalcheckfailedexception | conditional request failed | transaction conflict | operationaborted |
        conflicting conditional | dbupdateconcurrencyexception | concurrent update | concurrently updated |
        concurrent modification | conflict: + please try again | objectoptimisticlockingfailureexception |
        unexpected row count | transactionconflict | current transaction is aborted | wrong expected version |
        wrong last sequence | retry transaction | transaction retry | transactionretryerror | revision mismatch |
        staledataerror | heuristic completion | transaction + aborted | operation is in progress |
        another operation + in progress | transaction in progress | conditionnotmet | preconditionfailed |
        pre-conditions you specified | 412 precondition | precondition failed + etag | rebalanceinprogress |
        version conflict, | non-fast-forward | merge conflict | updates were rejected because |
        version conflict + document | has been changed by another | changed since | edit conflict |
        updated by another | modified by another | is out of date + etag
        """,
    ),
    (
        "second instance",
        DECISIVE,
        """
        another instance | already running | already started | one instance | another copy | pid file | pidfile |
        server.pid | postmaster.pid | instance is already | running instance | maximum number of running instances |
        multiple instances | instance already | singleton + running | other getupdates | another user is |
        process is already | only one process | another mysqld | already being run | instance running |
        another daemon | started twice | in use by another | another job
        """,
    ),
    (
        "unsynchronised access",
        DECISIVE,
        """
        concurrent map | concurrentmodificationexception | changed size during iteration | mutated during iteration |
        collection was modified | data race | race condition | threadsanitizer | race detected | mutated while |
        modified during | changed during iteration | checkforcomodification | concurrent read | concurrent write |
        race: | unlock of unlocked | negative waitgroup | send on closed channel | close of closed channel |
        poisonerror | poisoned lock | already borrowed | already mutably borrowed | borrowmuterror | borrowerror |
        illegalmonitorstateexception | illegalthreadstateexception | synchronizationlockexception |
        another coroutine | operation is not allowed + concurrent | second operation was started on this context |
        another operation is in progress | attached to a different loop | different event loop |
        this event loop is already running | cannot be called from a running event loop | commands out of sync |
        concurrent access | recursive use of cursors | read() called while | 集合已修改 | pthread_mutex_lock |
        pthread_mutex_unlock | mutex lock failed | mutex_owner | mutex destroyed while busy |
        kollektion wurde geändert | la collection a été modifiée | already locked by | recursive lock | double lock |
        lock poisoned | mutex poisoned | canceling statement due to conflict with recovery |
        iterator was invalidated | while iterating | already being iterated | another request in progress |
        another operation in progress | non-reentrant | already in use
        """,
    ),
    (
        "wrong thread",
        DECISIVE,
        """
        wrong thread | only be used in that same thread | objects created in a thread | cross-thread operation |
        main thread is not in main loop | from the main thread | not on the main thread |
        calledfromwrongthreadexception | only the original thread | different thread owns |
        must be used from main thread only | looper.prepare | networkonmainthreadexception |
        can only be used with threads | qobject::startTimer | parent's thread | from a different thread |
        on background thread | not fx application thread | toolkit not initialized | qthread: |
        can only be called from the main | off the main thread | signal only works in main thread |
        created in a different thread | not in main thread | cannot start new thread + daemon | non-main thread |
        off main thread | main-thread-only | qbasictimer | owning thread
        """,
    ),
    (
        "conflict word",
        GOOD,
        """
        conflict | conflicting | conflicts | is locked | locked by | race | concurrently | simultaneous | reentrant |
        thread-safe | thread safe | another process | another session | another program | previous run |
        still running | main thread | same thread | render thread | another thread | calling thread |
        current thread is | ui thread | different thread | nowait | lock wait | held by | lock held |
        already in progress | poisoned | thread safety | resource temporarily unavailable
        """,
    ),
    (
        "lock file word",
        HINT,
        """
        lock file | file lock
        """,
    ),
    (
        "duplicate row",
        STRONG,
        """
        duplicate key value | unique constraint | uniqueviolation | duplicate entry | e11000 | integrityerror
        """,
    ),
    (
        "concurrency topic",
        HINT,
        """
        lock | locked | locking | mutex | semaphore | thread | threads | concurrent | concurrency | transaction |
        sync | synchronized | atomic | goroutine | await | coroutine | unlock | locks | instance | simultaneously |
        parallel | pid | cancelled | transactions | waits | barrier | async | sharelock
        """,
    ),
)

SECURITY = _rules(
    "security",
    (
        "untrusted certificate",
        DECISIVE,
        """
        certificate has expired | certificate verify failed | certificate_verify_failed | self signed certificate |
        self-signed certificate | unknown authority | unable to verify the first certificate |
        unable_to_verify_leaf_signature | cert_has_expired | sslcertverificationerror |
        unable to get local issuer certificate | certificate is not trusted | certificate is valid for |
        certificate is not valid | depth_zero_self_signed_cert | self_signed_cert_in_chain |
        unable_to_get_issuer_cert_locally | err_cert | pkix path building failed |
        unable to find valid certification path | certpathbuilderexception | certificate verification failed |
        hostname mismatch | certificate signed by | bad certificate | certificate expired | unknown ca |
        certificate unknown | ssl certificate problem | err_tls_cert_altname_invalid | certificate validation |
        certificate revoked | cert verification | doesn't match certificate | remote certificate is invalid |
        sec_error_unknown_issuer | unknown_ca | tlsv1_alert_unknown_ca | err_cert_authority_invalid |
        err_cert_date_invalid | invalid peer certificate | unknownissuer
        """,
    ),
    (
        "login refused",
        DECISIVE,
        """
        authentication failed | login failed | access denied for user | invalid credentials | bad credentials |
        invalid username or password | incorrect password | wrong password | invalid password | wrongpass | noauth |
        authentication required | permission denied (publickey) | could not read username | could not read password |
        terminal prompts disabled | authenticationexception | authenticationfailed | authenticationfailedexception |
        authorization violation | user authentication | authentication error | kerberos | authentication failure |
        invalid api key | invalid_api_key | incorrect api key | invalid token | token expired | token has expired |
        token is expired | invalid_grant | invalid_client | jwt expired | jwt malformed | jsonwebtokenerror |
        invalid signature | tokenexpirederror | signaturedoesnotmatch | invalidaccesskeyid | expiredtoken |
        unrecognizedclientexception | invalidclienttokenid | unauthorized | unauthenticated | not authorized |
        not authenticated | authorization failed | unable to locate credentials | could not load credentials |
        nocredentialproviders | no credentials | bad token | login incorrect | nopermission |
        saslauthenticationexception | gssapi | auth failed | no pg_hba.conf entry | authorization token |
        badcredentialsexception | could not be authenticated | authentication unsuccessful | aadsts |
        er_access_denied_error | account locked | invalid authentication | bad auth | not logged in | auth error |
        login denied | requires authentication | er_not_supported_auth_mode | invalid session | invalid user |
        autherror | authenticationerror | logon failure | denied access | krb5 | unauthorizedexception |
        too many authentication failures | could not authenticate | wrong user | authorization header |
        token invalid | access token | bearer | csrf token missing | invalid login | missing authentication | keytab |
        account disabled | password expired | secret is invalid | identity verification
        """,
    ),
    (
        "access refused",
        STRONG,
        """
        permission denied | eacces | eperm | access denied | accessdenied | accessdeniedexception | access is denied |
        permissionerror | forbidden | insufficient privileges | insufficient permissions | unauthorizedaccess |
        insufficient permission | permissiondenied | permission_denied | command denied to user | must be owner of |
        must be superuser | unauthorizedaccessexception | securityexception | you don't have permission |
        do not have permission | does not have permission | not permitted | requires root | requires elevation |
        administrator privileges | insufficient scope | missing permission | missing permissions | missing access |
        os error 13 | errno 13 | requested access to the resource is denied | cannot list resource |
        cannot get resource | rbac | no permission | lacks permission | not have access | accesscontrolexception |
        winerror 5 | user is not authorized to perform | unsafe permissions | unprotected private key |
        permissions 0644 | bad permissions | run as root | отказано в доступе | keine berechtigung |
        permission non accordée | permiso denegado | 权限不够 | dubious ownership | world-writable
        """,
    ),
    (
        "policy or sandbox",
        DECISIVE,
        """
        selinux | apparmor | seccomp | podsecurity | podsecuritypolicy | violates + policy | content security policy |
        cors | cross-origin | same origin policy | access-control-allow-origin | csrf | xsrf |
        invalidauthenticitytoken | mixed content | allowed by access control | avc: | no_new_privs |
        disallowed syscall | bad system call | sigsys | deny(1) | gatekeeper | notarized | unsafe-eval |
        unsafe-inline | refused to execute | referrer policy | refused to load | refused to connect + directive |
        invalid http_host header | disallowedhost | suspiciousoperation | admission webhook denied | securityerror |
        insecure operation | insecure content | blocked by client | blocked because | secure boot | lockdown |
        privilege escalation | allowprivilegeescalation | x-frame-options | sharedarraybuffer | verity |
        permissions violation | content-security-policy | mandatory access control | landlock |
        refused to apply style | refused to connect because | strict mime | mime type + executable |
        blocked by + policy | syscall + blocked
        """,
    ),
    (
        "signature or integrity",
        DECISIVE,
        """
        remote host identification has changed | host key | gpg error | no_pubkey | not signed | bad signature |
        could not be verified | signature verification | signature does not match | verifying + checksum mismatch |
        security error | checksum mismatch + go.sum | this download does not match | dm-verity | code signature |
        codesign | code sign | code signing | no public key | signature mismatch | untrusted source |
        provisioning profile | eintegrity | sha512 + integrity | err_ssl_key_too_small | vulnerabilities |
        vulnerability | npm audit | security advisory | unsafe legacy renegotiation | dh key too small |
        invalid signature | signatures + invalid | are the same for the latest payload | key is not certified |
        expkeysig | keysig | damaged and can't be opened | unidentified developer | tamper | hmac |
        decryption failed | bad decrypt | apksigner | install_parse_failed_no_certificates |
        install_failed_update_incompatible | sigstore | malicious | keystore was tampered | no matching key exchange |
        dh_key_too_small
        """,
    ),
    (
        "certificate word",
        STRONG,
        """
        certificate | certificates | cert | acme | hsts | x509
        """,
    ),
    (
        "secrecy word",
        GOOD,
        """
        password | oauth | pam | nonce | credential | credentials | cve | cipher | ciphers | decrypt | signature |
        signatures | untrusted | insecure | quarantine | policy violation | session expired | keyring | gpg | pgp |
        keystore | integrity check | privileges | secret keys | jwt | sandbox | setuid | csp | authorizing |
        authenticating | not trusted | not allowed to | encrypted
        """,
    ),
    (
        "security topic",
        HINT,
        """
        auth | authenticate | authentication | authorization | permission | permissions | token | secret | login |
        user | privilege | access | denied | ssl | security | signed | trusted | encryption | secure | trust | admin |
        key | allowed | policy | role | identity | chmod
        """,
    ),
)

CATEGORY_RULES: tuple[Rule, ...] = (
    MEMORY + NETWORK + STORAGE + BUILD + DEPENDENCY + CONFIGURATION + RUNTIME + PERFORMANCE + CONCURRENCY + SECURITY
)

# Class names such as `FooTimeoutException`: the first part found in the name speaks, when the name itself is not known.
_NAME_PARTS_BY_LABEL: tuple[tuple[str, str], ...] = (
    ("memory", "outofmemory badalloc"),
    (
        "concurrency",
        "optimisticlock deadlock conflict concurren locktimeout lockfail alreadyrunning "
        "transactionabort lockerror lockexception",
    ),
    ("network", "connecttimeout connectiontimeout connectiontimedout"),
    (
        "performance",
        "timeout timedout deadlineexceeded ratelimit throttl toomanyrequests quotaexceeded "
        "rejectedexecution poolexhausted overload slowconsumer",
    ),
    (
        "security",
        "authenticat authoriz unauthori accessdenied forbidden permission credential certificate "
        "certpath csrf securityexc securityerr signature invalidtoken jwt crypto",
    ),
    (
        "network",
        "unknownhost nameresolution noroutetohost connection connect socket network handshake ssl "
        "websocket brokernotavailable chunkedencoding proxy",
    ),
    (
        "dependency",
        "classnotfound noclassdef modulenotfound linkageerror nosuchmethoderror versionconflict "
        "versionmismatch importerror loaderror dllnotfound deprecat dependency package",
    ),
    (
        "storage",
        "filenotfound nosuchfile directorynotfound filesystem corrupt checksum badzip eofexception "
        "zipexception zlib diskfull readonly ioexception nosuchbucket s3exception mount",
    ),
    ("build", "compil syntaxerror webpack rollup transformerror shader gradle buildexc builderror aapt"),
    (
        "configuration",
        "config beancreation unsatisfieddependency propert invaliduri malformedurl invalidurl yaml toml settings",
    ),
    (
        "runtime",
        "stackoverflow recursion nullpointer nullreference assert unicode json typeerror keyerror "
        "argument indexerror outofbounds illegalstate invalidoperation classcast parse format "
        "validation attributeerror referenceerror nomethod notimplemented cast nameerror",
    ),
)
NAME_PARTS: tuple[tuple[str, str], ...] = tuple(
    (part, label) for label, parts in _NAME_PARTS_BY_LABEL for part in parts.split()
)

# Words after which a text goes on to name what lies beneath the error reported so far.
CHAIN_MARKERS: tuple[str, ...] = (
    "caused by",
    "nested exception is",
    "root cause",
    "reason:",
    "inner exception",
    "--->",
    "cause:",
    "original error",
    "desc =",
    "due to",
    "because",
    "previous exception",
    "failed with message",
    "the above exception was",
)

_STATUS = r"\b(?:code|status|http(?:/[\d.]+)?|error|response)\W{0,4}(?:code\W{0,3})?"

SHAPES: tuple[ShapeRule, ...] = (
    ShapeRule(
        "build",
        "compiler code",
        STRONG,
        ("error", "warning"),
        r"\b(?:error|warning):? ?(?:ts|cs|lnk|c|bc|fs|msb|x|ac|kt|e|nu|ca)\d{4}\b|\berror\[e\d{4}\]",
    ),
    ShapeRule("build", "hot update code", DECISIVE, ("enc",), r"\benc[01]\d{3}\b"),
    ShapeRule(
        "build",
        "source position",
        STRONG,
        (": error", ": warning", ": undefined", ": fatal error"),
        r"(?:[:(]\d+(?:[,:]\d+(?:-\d+)?)?\)?) ?: ?(?:fatal )?(?:error|warning|undefined)\b",
    ),
    ShapeRule("build", "shader log line", GOOD, ("0:", "1:"), r"(?:^|[\s\"'])(?:error: )?[01]:\d+(?:\(\d+\))?: "),
    ShapeRule(
        "build",
        "own file unresolved",
        DECISIVE,
        ("resolve '", 'resolve "'),
        r"resolve (?:module |import )?['\"](?:\.|/|~|@/|<|[a-z]:|src/)",
    ),
    ShapeRule(
        "dependency",
        "package unresolved",
        DECISIVE,
        ("resolve '", 'resolve "'),
        r"resolve (?:module |import )?['\"](?:[a-z][\w-]*['\"/]|@[a-z])",
    ),
    ShapeRule(
        "dependency",
        "header missing",
        DECISIVE,
        (".h", ".hpp"),
        r"[\w/+-]\.(?:h|hpp|hh)['\"]?(?: file|: no such file| not found|' file not found)",
    ),
    ShapeRule(
        "dependency",
        "library version",
        DECISIVE,
        ("glibc", "cxxabi", "version `"),
        r"\b(?:glibc|glibcxx|cxxabi)_\d|version `[^']{1,40}' not found",
    ),
    ShapeRule(
        "dependency",
        "version demanded",
        GOOD,
        ("require",),
        r"\brequires? [\w@/ .-]{1,40}(?:>=|<=|==|\^|~>|version|>)"
        r"|version [\w.'\"^~-]{1,40} (?:is )?(?:required|or (?:later|newer|higher))",
    ),
    ShapeRule("security", "http refusal", STRONG, ("401", "403", "407"), _STATUS + r"(?:401|403|407)\b"),
    ShapeRule("network", "http gateway", STRONG, ("502", "503"), _STATUS + r"(?:502|503)\b"),
    ShapeRule("performance", "http limit", STRONG, ("408", "429", "504", "529"), _STATUS + r"(?:408|429|504|529)\b"),
    ShapeRule("concurrency", "http conflict", STRONG, ("409", "412"), _STATUS + r"(?:409|412)\b"),
    ShapeRule("runtime", "http server error", GOOD, ("500",), _STATUS + r"500\b"),
    ShapeRule(
        "dependency",
        "module lacks a name",
        DECISIVE,
        ("has no attribute",),
        r"module ['\"][\w.]+['\"] has no attribute",
    ),
    ShapeRule(
        "performance",
        "took so long",
        GOOD,
        ("took ", "after "),
        r"\btook \d[\d.,]* ?(?:ms|s|sec|milli|seconds)\b|\bafter \d[\d.]* ?(?:ms|s|seconds|milliseconds)\b",
    ),
    ShapeRule(
        "configuration",
        "named variable missing",
        STRONG,
        ("required", "not set", "missing", "not defined"),
        r"\b[a-z0-9]{1,30}_[a-z0-9_]{0,40}(?:url|key|secret|token|host|port|id|password|user|path|dir|name|uri)\b"
        r".{0,25}\b(?:required|not set|missing|not defined)",
    ),
    ShapeRule("configuration", "unfilled placeholder", GOOD, ("${",), r"\$\{[\w.:-]{1,60}\}"),
)

SEVERITY_RULES: tuple[Rule, ...] = (
    _rules(
        "fatal",
        (
            "killed by signal",
            DECISIVE,
            """
            core dumped | segmentation fault | segfault | sigsegv | sigabrt | sigbus | sigill | sigkill |
            killed process | oom-killer | oomkilled | oom-kill | oom_reaper | exit code 137 | exit code 139 |
            exited with code 137 | exited with code 139 | "exitcode": 139 | signal 11 | signal 6 | signal 9 |
            signal 5 | access violation | 0xc0000005 | exc_bad_access | exception_access_violation | trap |
            general protection | kernel panic | unhandled page fault | abort message | double free | heap corruption |
            stack smashing | malloc(): | free(): invalid | corrupted double-linked list | heap-buffer-overflow |
            heap-use-after-free | -1073741819 | addresssanitizer: | unhandled exception at |
            unreal engine is exiting | stack-buffer-overflow | 0xc0000374 | gpucrash | exitcode:137 | exitcode:139 |
            illegal instruction | bus error | exited with signal | unhandled signal | crash report | fatal signal |
            terminated by signal | server watchdog | watchdog/fatal | has been killed | sigtrap | got signal |
            received signal
            """,
        ),
        (
            "process ended itself",
            DECISIVE,
            """
            panicked at | terminate called | fatal exception | terminating app due to | heap out of memory |
            concurrent map | all goroutines are asleep | uncaught exception | throw er; | triggeruncaughtexception |
            unexpectedly found nil | goroutine 1 | libc++abi | stack overflow | has overflowed its stack |
            runtime: out of memory | memory allocation of | fatal error: runtime | exiting + fatal |
            terminating due to uncaught | fatal python error | unhandled exception. | shutdown broker | jvm + crash |
            jni fatalerror | mark-compacts | unhandled 'error' event | node:internal/process | processgroupnccl |
            bugcheck | guru meditation | stack trace + panic | symbol lookup error | shut down + fatal |
            unrecoverable | app crashed | shutting down due to | game crashed | minecraft crash report |
            has stopped working | has crashed | server crashed | application crashed | unhandledexception |
            uncaughtexceptionhandler | fatal error: [file | exit code -1073741819 | disallowed syscall |
            runtimeerror: unreachable | process exited with code 139 | thread 'main' panicked | aborted (core |
            exception in thread "main" | fatal: java | considering it to be crashed | crash-reports |
            exception in server tick loop | exception ticking world | rebooting | restarting system | kernel bug |
            pthread_mutex_lock + assertion | only the original thread | mysqld got signal | what(): |
            gpu device was lost | lua error + attempt | error loading + main.lua
            """,
        ),
        (
            "fatal word",
            GOOD,
            """
            fatal | panic | crash | abort | died | kill | terminated | aborting | crashed
            """,
        ),
    )
    + _rules(
        "critical",
        (
            "does not start",
            STRONG,
            """
            failed to start | cannot start | could not start | unable to start | can't start | failed to initialize |
            failed to boot | startup failed | error creating bean | beancreationexception | back-off restarting |
            failed to launch | start request repeated | failed with result | failed at step | initialization failed |
            failed to bootstrap | bootstrap checks failed | already running | not starting |
            failed to create pod sandbox | does not start | won't start | startup error | unable to boot |
            cannot boot | failed to init | invalid configuration | refusing to start | failed to run |
            could not initialize | shutting down | can't be opened | unable to initialize | unable to load config |
            environment variables | env var | invalid environment | configuration error | no endpoints |
            could not resolve placeholder | emerg | glibc_ | failed to load config | syntax error on line |
            configtest | invoked init method | invocation of init method | another instance is already |
            error starting | server failed | unmarshal failed | unrecognized arguments | not be started |
            is unhealthy | must be set | is not set | are required | no such file or directory + exec |
            version `glibc | failed to load python shared library | failed to load shared |
            error while loading shared libraries | connect to the docker daemon | is forbidden: |
            could not load config | missing environment | please set | please configure | must be configured |
            should be configured | unknown directive | not set in | improperlyconfigured | must not be empty |
            error loading config | secret_key_base | vm.max_map_count | only one usage of each socket address |
            address already in use | eaddrinuse | mandatory dependencies | unsupported mandatory | bad unit file |
            expected range | mod id | connections will not be accepted | permission denied for table |
            permission denied for relation | sasl authentication failure | brokers are down | probe failed |
            configuration is invalid | missing required | liveness
            """,
        ),
        (
            "not serving",
            STRONG,
            """
            not ready | no leader | quorum | all shards failed | serverselectionerror | is down | cannot serve |
            networkplugin | cluster_block | service down | anr | mutates | input dispatching timed out |
            too many connections | remaining connection slots | worker_connections | hung | soft lockup | stuck |
            deviceremoved | detected stalls | access denied for user | login failed for user | no pg_hba |
            password authentication failed | out of sync | split brain | cannot list
            """,
        ),
        (
            "data at risk",
            STRONG,
            """
            corrupt | corrupted | corruption | read-only file system | remounting | data loss |
            stale nfs file handle | aborting journal | disk full | is full | i/o error |
            crashed and should be repaired | cannot write | invalid page | lost + write | superblock | unrecoverable |
            inconsistent | rdb snapshots | heuristic | disk image is malformed | database disk image |
            attempt to access beyond end | readonlyrootfilesystem | wrong # of entries | manifest + no such file |
            multi-attach | already marked as free | failed opening + rdb | misconf | disk quota
            """,
        ),
        (
            "cluster event",
            DECISIVE,
            """
            kubelet + warning | warning + unhealthy | failedcreate | failedmount | failedscheduling |
            crashloopbackoff | imagepullbackoff | liveness probe failed | createcontainerconfigerror | errimagepull |
            failedattachvolume | createcontainererror | oomkilling
            """,
        ),
        (
            "device gone",
            DECISIVE,
            """
            removedevice | device_removed | device removal | device_hung | device_lost | device lost |
            device removed | gpu hang | health_err
            """,
        ),
        (
            "repeats for ever",
            STRONG,
            """
            giving up | given up | retries exhausted | keeps restarting | restart loop | crash loop | infinite loop |
            every time | again and again
            """,
        ),
        (
            "critical word",
            GOOD,
            """
            critical | crit | alert | emergency | outage
            """,
        ),
    )
    + _rules(
        "warning",
        (
            "warning word",
            STRONG,
            """
            warning | warn | wrn | [w] | avertissement
            """,
        ),
        (
            "goes on",
            STRONG,
            """
            retrying | will retry | retry in | reconnecting | skipped | skipping | ignoring | ignored | falling back |
            fallback | defaulting to | degraded | deprecated | will be removed | deprecation | continuing |
            trying to recover | resumed | using default | disconnecting | discarded | not recommended | may not |
            could not verify | retries left | try again | backing off | vulnerabilities | low memory |
            memory warning | unused | [violation] | has not been freed | running behind | can't keep up | hot reload |
            hmr | is not accepted | expression has changed | dropping | overrun | underrun | running slow | long gc |
            lost task | readiness probe failed | ping timeout | any pending updates | full restart |
            applying source changes | memory leak detected | enhance_your_calm | too_many_pings | may be | took too |
            took longer | avc: denied | watermark | transport failure | waiting for file lock | jvm paused |
            insecurerequestwarning | unverified https | maxlistenersexceededwarning | delaying | heartbeat | try 2 |
            attempt 1 | retry + attempt | suspended | reduce your request rate | gl_invalid_operation | 1006 |
            broker changed state | possible + leak | overhead, spent | not acknowledge | allowed_hosts | running low |
            will restart | lost connection,
            """,
        ),
        (
            "marked as warning",
            DECISIVE,
            """
            [warn] | [warning] | level=warning | level=warn | warning: | npm warn | deprecationwarning |
            futurewarning | userwarning | runtimewarning | non-critical | "level":"warn" | threadsanitizer | data race
            """,
        ),
    )
    + _rules(
        "error",
        (
            "one operation failed",
            GOOD,
            """
            traceback | http: panic | build failed | exit status | npm error | request failed | command failed |
            fatal: early | cuda out of memory | cuda error | err! | sqlstate | uncaught (in promise) |
            uncaught typeerror | duplicate key value | failed to download | cannot find module |
            unhandledpromiserejectionwarning | nvcc fatal: | webhook | git clone | failed to fetch | install failed |
            fatal: not a git repository | exit code 1 | exit code 2 | non-zero code | failed to execute goal
            """,
        ),
        (
            "handled panic",
            DECISIVE,
            """
            http: panic serving | [recovered by | panic recovered | recovered from panic | recovered panic |
            panic action
            """,
        ),
        (
            "tool said fatal",
            DECISIVE,
            """
            fatal: could not read | fatal: early eof | fatal: not a git | fatal: repository | fatal: refusing |
            nvcc fatal | fatal error: uncaught | compilation terminated | maximum execution time |
            allowed memory size | fatal: fetch-pack | fatal: remote | fatal error: + no such file | fatal: unable to |
            fatal error + lnk | fatal error c1 | fatal: authentication failed | fatal: couldn't find |
            fatal error: call to | php fatal error | worker (pid | fatal: the remote
            """,
        ),
        (
            "error word",
            HINT,
            """
            error | failed | exception | failure | err | cannot | invalid | failing | errors | unable | denied
            """,
        ),
    )
)

# How often each severity goes with a category where the text itself tells nothing, on the scale of the weights.
SEVERITY_LEANING: dict[str, dict[str, float]] = {
    "memory": {"error": 5.0, "fatal": 4.0},
    "network": {"error": 6.5, "warning": 2.0},
    "storage": {"error": 5.0, "critical": 4.0},
    "build": {"error": 8.0},
    "runtime": {"error": 7.0, "fatal": 1.0},
    "dependency": {"error": 7.5},
    "configuration": {"error": 5.0, "critical": 4.0},
    "performance": {"error": 6.0, "critical": 1.5},
    "concurrency": {"error": 6.5},
    "security": {"error": 6.0, "critical": 2.0},
    "unknown": {"error": 6.0},
}
