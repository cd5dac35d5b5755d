"""Words for `security`. Who may not, and certificates, keys and signatures that do not hold."""

from typing import Final

from .evidence import DECISIVE, GOOD, HINT, STRONG, rules

RULES: Final = rules(
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
