"""Words for `dependency`. Packages, modules, libraries and drivers that are missing or do not fit."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
