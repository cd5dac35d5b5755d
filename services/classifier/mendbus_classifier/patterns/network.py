"""Words for `network`. Peers that cannot be reached, and connections that break."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
