"""Words for `build`. Source text, assets and shaders that do not compile."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
