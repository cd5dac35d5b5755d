"""Words for `concurrency`. Locks, races, and writers that get into each other's way."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
