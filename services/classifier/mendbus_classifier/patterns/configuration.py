"""Words for `configuration`. Settings that are missing, not valid, or do not go together."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
