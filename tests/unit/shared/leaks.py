"""What programs really let out in their errors: each with the part that nobody may see."""

from typing import NamedTuple


class Leak(NamedTuple):
    """A text as a program wrote it, and what of it is secret."""

    text: str
    secrets: tuple[str, ...]


_KEY_BODY = "MIIEowIBAAKCAQEAy8Dbv8prpJ/0kKhlGeJYozo2t60EG8L0561g13R29LvMR5hy"
_JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiI3NyIsImVtYWlsIjoiYUBiLmMifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r"
LEAKS = (
    Leak("InvalidAccessKeyId: AKIAIOSFODNN7EXAMPLE is not known", ("AKIAIOSFODNN7EXAMPLE",)),
    Leak(
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY rejected",
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",),
    ),
    Leak("env: {'AWS_SESSION_TOKEN': 'IQoJb3JpZ2luX2VjEJr', 'HOME': '/root'}", ("IQoJb3JpZ2luX2VjEJr",)),
    Leak("403 for https://maps.example/api?key=AIzaSyA1234567890abcdefghijklmnopqrstuv", ("AIzaSyA1234567890",)),
    Leak("request failed, headers {'Authorization': 'Bearer 7f3aa0c1d9e84b2f'}", ("7f3aa0c1d9e84b2f",)),
    Leak("> Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l", ("YWxhZGRpbjpvcGVuc2VzYW1l",)),
    Leak(f"jwt expired: {_JWT}", (_JWT, "eyJzdWIiOiI3NyIs", "dBjftJeZ4CVPmB92K27uhbUJU1p1r")),
    Leak(
        f"cannot parse:\n-----BEGIN RSA PRIVATE KEY-----\n{_KEY_BODY}\n{_KEY_BODY}\n-----END RSA PRIVATE KEY-----",
        (_KEY_BODY,),
    ),
    Leak('{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg\\n-----END PRIVATE KEY-----\\n"}', ("MIIEvQ",)),
    Leak("could not connect to postgresql://shop:s3cr3t-pg@db.example:5432/shop?sslmode=require", ("s3cr3t-pg",)),
    Leak("redis.exceptions.ConnectionError: redis://:hunter2hunter2@cache:6379/0", ("hunter2hunter2",)),
    Leak("amqp://guest:gu3st/pw@rabbit:5672 closed; mongodb+srv://app:m0ngo@cl.example/x", ("m0ngo",)),
    Leak("Server=tcp:sql.example,1433;User ID=sa;Password=Str0ng!Pass;Encrypt=True", ("Str0ng!Pass",)),
    Leak("Data Source=db;Uid=app;Pwd=w0rd-1;", ("w0rd-1",)),
    Leak("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=Zm9vYmFyYmF6cXV4Cg==;Suffix=y", ("Zm9vYmFyYmF6",)),
    Leak("login failed: username=anna password=tr0ub4dor&3", ("tr0ub4dor",)),
    Leak('config {"db_password": "p@ss w0rd", "port": 5432}', ("p@ss w0rd", "w0rd")),
    Leak("mysqldump --user=root --password hunter2! shop: exit status 2", ("hunter2!",)),
    Leak("curl: (22) 401\nCookie: session=9f86d081884c7d65; theme=dark\nHost: x", ("9f86d081884c7d65",)),
    Leak("Set-Cookie: sid=31d4d96e407aad42; HttpOnly", ("31d4d96e407aad42",)),
    Leak("fatal: Authentication failed for 'https://ghp_abcdefghijklmnopqrst1234@github.com/x/y'", ("ghp_abcdef",)),
    Leak("slack: invalid_auth for xoxb-123456789012-abcdefABCDEF", ("xoxb-123456789012",)),
    Leak("stripe.error.AuthenticationError: Invalid API Key provided: sk_live_4eC39HqLyjWDarjtT1zdp7dc", ("4eC39Hq",)),
    Leak("npm ERR! //registry.example/:_authToken=npm_0123456789abcdefghijABCDEFGHIJ012345", ("npm_0123456789",)),
    Leak("GET /blob?sv=2022&sig=aGVsbG8lM0Q&se=2030 403", ("aGVsbG8lM0Q",)),
    Leak("duplicate key value: Key (email)=(anna.schmidt+x@mail.example.org) already exists", ("anna.schmidt",)),
    Leak("550 5.1.1 <bob@example.co.uk>: Recipient address rejected", ("bob@example.co.uk",)),
    Leak("card 4111 1111 1111 1111 declined; retry with 378282246310005", ("4111 1111", "378282246310005")),
)
