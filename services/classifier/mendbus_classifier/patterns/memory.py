"""Words for `memory`. Memory that ran out, or was not the process's to touch."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
