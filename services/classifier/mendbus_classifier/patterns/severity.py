"""How severe a text sounds."""

from .evidence import DECISIVE, GOOD, HINT, STRONG, Rule, rules

SEVERITY_RULES: tuple[Rule, ...] = (
    rules(
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
    + rules(
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
    + rules(
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
    + rules(
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
