"""Sign-in, permissions and TLS of the Kafka port, with the clients' own words for them."""

import subprocess
import time

import pytest
from conftest import BINARY
from kafka_clients import CLIENTS, Record
from test_shippers import certificate

USERS = {"ann": "ann's password", "bob": "bob's password", "root": "root's password"}


@pytest.fixture
def guarded(make_box, tmp_path):
    """A box that wants to be signed in to, over TLS; with three users: ann produces web-*, bob consumes it, root may everything."""
    (authority, _), sign = certificate(tmp_path, "authority")
    (cert, key), _ = certificate(tmp_path, "box", sign)
    box = make_box(kafka=f'sign_in = true\ntls = {{ cert = "{cert}", key = "{key}" }}').start()
    box.authority = authority
    for name, password in USERS.items():
        sawbox(box, "user", "add", name, *(["--admin"] if name == "root" else []), said=password + "\n")
    sawbox(box, "acl", "grant", "ann", "produce", "--topic", "web-*")
    sawbox(box, "acl", "grant", "bob", "consume", "--topic", "web-*", "--group", "bob-*")
    return box


def sawbox(box, *arguments, said=""):
    done = subprocess.run([BINARY, *arguments, "--url", box.url], input=said, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def librdkafka(box, user, mechanism, password=None):
    """Settings of librdkafka; None: no sign-in."""
    if user is None:
        return {"security.protocol": "ssl", "ssl.ca.location": str(box.authority)}
    settings = {"security.protocol": "sasl_ssl", "ssl.ca.location": str(box.authority), "sasl.mechanism": mechanism}
    return {**settings, "sasl.username": user, "sasl.password": password or USERS[user]}


def python_settings(box, user, mechanism):
    import ssl

    context = ssl.create_default_context(cafile=str(box.authority))
    settings = {"security_protocol": "SASL_SSL", "ssl_context": context, "sasl_mechanism": mechanism}
    return {**settings, "sasl_plain_username": user, "sasl_plain_password": USERS[user]}


def produce_and_consume(box, name, mechanism):
    """ann writes and bob reads, by one library and mechanism."""
    topic, group = f"web-{name}-{mechanism.lower()}", f"bob-{name}-{mechanism.lower()}"
    records = [Record(f"{n}".encode()) for n in range(20)]
    client = CLIENTS[name]
    if name == "confluent":
        client.produce(box, topic, records, idempotent=True, **librdkafka(box, "ann", mechanism))
        seen = client.consume(box, topic, 20, group=group, seconds=20, **librdkafka(box, "bob", mechanism))
    elif name == "kcat":
        options = lambda user: [part for pair in librdkafka(box, user, mechanism).items() for part in ("-X", "=".join(pair))]
        client.produce(box, topic, records, options=options("ann"))
        seen = client.consume(box, topic, 20, group=group, seconds=20, options=options("bob"))
    elif name == "kafkajs":
        settings = lambda user: {
            "ssl": {"ca": [box.authority.read_text()]},
            "sasl": {"mechanism": mechanism.lower(), "username": user, "password": USERS[user]},
        }
        client.produce(box, topic, records, **settings("ann"))
        seen = client.consume(box, topic, 20, group=group, seconds=20, **settings("bob"))
    elif name == "java":
        login = {"PLAIN": "plain.PlainLoginModule"}.get(mechanism, "scram.ScramLoginModule")
        settings = lambda user: {
            "security.protocol": "SASL_SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(box.authority),
            "sasl.mechanism": mechanism,
            "sasl.jaas.config": f'org.apache.kafka.common.security.{login} required username="{user}" password="{USERS[user]}";',
        }
        client.produce(box, topic, records, idempotent=True, **settings("ann"))
        seen = client.consume(box, topic, 20, group=group, seconds=20, **settings("bob"))
    else:
        client.produce(box, topic, records, idempotent=True, **python_settings(box, "ann", mechanism))
        seen = client.consume(box, topic, 20, group=group, seconds=20, **python_settings(box, "bob", mechanism))
    assert sorted(int(one.record.value) for one in seen) == list(range(20)), (name, mechanism)


def test_every_library_signs_in_by_every_mechanism(guarded):
    for name in CLIENTS:
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            produce_and_consume(guarded, name, mechanism)
    guarded.settle()
    assert guarded.count("*") == 20 * 3 * len(CLIENTS)
    guarded.stop()


def failure(box, settings, do):
    """What librdkafka says when it is not let in, or not allowed."""
    from confluent_kafka import Producer

    said = []
    producer = Producer(
        {
            "bootstrap.servers": box.brokers,
            "message.timeout.ms": 15_000,
            "error_cb": lambda error: said.append(error.name()),
            **settings,
        }
    )
    producer.produce(do, b"x", on_delivery=lambda error, _: said.append(error.name() if error else "delivered"))
    deadline = time.monotonic() + 20
    while "_AUTHENTICATION" not in said and len(producer) and time.monotonic() < deadline:
        producer.poll(0.2)
    producer.purge()
    return said


def test_who_may_not_is_told_so(guarded):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    box = guarded
    CLIENTS["confluent"].produce(box, "web-a", [Record(b"x")], **librdkafka(box, "ann", "PLAIN"))
    assert "_AUTHENTICATION" in failure(box, librdkafka(box, "ann", "SCRAM-SHA-256", "wrong"), "web-a")
    assert "_AUTHENTICATION" in failure(box, librdkafka(box, "ann", "PLAIN", "wrong"), "web-a")
    nobody = failure(box, librdkafka(box, None, None), "web-a")
    assert "delivered" not in nobody
    assert "delivered" not in failure(box, {}, "web-a"), "without TLS nothing goes in"
    # Signed in, and not allowed: bob writes, ann reads another's topic, both make topics.
    assert "TOPIC_AUTHORIZATION_FAILED" in failure(box, librdkafka(box, "bob", "PLAIN"), "web-a")
    assert "TOPIC_AUTHORIZATION_FAILED" in failure(box, librdkafka(box, "ann", "PLAIN"), "secret")
    make = lambda user: AdminClient({"bootstrap.servers": box.brokers, **librdkafka(box, user, "SCRAM-SHA-512")})
    admins = {user: make(user) for user in USERS}
    admin = admins.__getitem__
    with pytest.raises(KafkaException) as refused:
        admin("ann").create_topics([NewTopic("elsewhere", 1, 1)])["elsewhere"].result(10)
    assert "AUTHORIZATION_FAILED" in refused.value.args[0].name()
    with pytest.raises(AssertionError, match="GROUP_AUTHORIZATION_FAILED|Group authorization failed"):
        CLIENTS["confluent"].consume(box, "web-a", 1, group="ann-group", seconds=10, **librdkafka(box, "bob", "PLAIN"))
    # What one may not see is not there.
    admin("root").create_topics([NewTopic("secret", 1, 1)])["secret"].result(10)
    assert "secret" not in admin("bob").list_topics(timeout=10).topics
    assert "secret" in admin("root").list_topics(timeout=10).topics
    # A right that is taken away is gone at once, also for whoever is connected.
    sawbox(box, "acl", "revoke", "ann", "produce", "--topic", "web-*")
    assert "TOPIC_AUTHORIZATION_FAILED" in failure(box, librdkafka(box, "ann", "PLAIN"), "web-a")
    box.kill()
    box.start()
    assert "TOPIC_AUTHORIZATION_FAILED" in failure(box, librdkafka(box, "ann", "PLAIN"), "web-a"), "it comes back with a restart"
    CLIENTS["confluent"].produce(box, "secret", [Record(b"x")], **librdkafka(box, "root", "SCRAM-SHA-256"))
    box.stop()


def test_permissions_by_kafkas_own_admin_client(guarded):
    from confluent_kafka.admin import (
        AclBinding,
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        AdminClient,
        ResourcePatternType,
        ResourceType,
    )

    box = guarded
    admin = AdminClient({"bootstrap.servers": box.brokers, **librdkafka(box, "root", "SCRAM-SHA-512")})
    topic = (ResourceType.TOPIC, "audit", ResourcePatternType.LITERAL, "User:ann", "*")
    binding = AclBinding(*topic, AclOperation.WRITE, AclPermissionType.ALLOW)
    create = AclBinding(*topic, AclOperation.CREATE, AclPermissionType.ALLOW)
    assert "TOPIC_AUTHORIZATION_FAILED" in failure(box, librdkafka(box, "ann", "PLAIN"), "audit")
    for future in admin.create_acls([binding, create]).values():
        future.result(10)
    assert "delivered" in failure(box, librdkafka(box, "ann", "PLAIN"), "audit")
    anything = AclBindingFilter(
        ResourceType.TOPIC, "audit", ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    assert set(admin.describe_acls(anything).result(10)) == {binding, create}
    assert "audit" in sawbox(box, "acl", "ls", "ann")
    deleted = admin.delete_acls([anything])[anything].result(10)
    assert set(deleted) == {binding, create}
    assert "TOPIC_AUTHORIZATION_FAILED" in failure(box, librdkafka(box, "ann", "PLAIN"), "audit")
    # Only who may alter the cluster may do this.
    bob = AdminClient({"bootstrap.servers": box.brokers, **librdkafka(box, "bob", "SCRAM-SHA-512")})
    with pytest.raises(Exception, match="CLUSTER_AUTHORIZATION_FAILED|Cluster authorization failed"):
        list(bob.create_acls([binding]).values())[0].result(10)
    box.stop()


def test_beyond_loopback_nobody_listens_without_sign_in(tmp_path):
    """The configuration is refused, with a sentence that says what to do."""
    config = tmp_path / "sawbox.toml"
    listen = '[[ingest.kafka]]\nlisten = "0.0.0.0:19092"\n'
    for extra, fine in [("", True), ("sign_in = true\n", True), ("sign_in = false\n", False)]:
        config.write_text(f'data_dir = "{tmp_path}/data"\n{listen}{extra}')
        done = subprocess.run([BINARY, "check", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert (done.returncode == 0) == fine, (extra, done.stderr)
        assert fine or "sign_in" in done.stderr, done.stderr
