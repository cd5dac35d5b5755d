"""Words for `performance`. What takes too long, and what is too much."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
