"""Words for `runtime`. Values and states that a program did not expect."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, TRACE, rules

RULES: Final = rules(
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
