// Kafka's own Java client, by the request on standard input, as the scripts of kafkajs/: java Client VERB
//
// Says one JSON object a line on standard output. What the request's `config` holds goes to the client as it is.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

public class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    static JsonNode request;

    public static void main(String[] verb) throws Exception {
        request = JSON.readTree(System.in);
        switch (verb[0]) {
            case "produce" -> produce();
            case "consume" -> consume();
            case "member" -> member();
            case "admin" -> admin();
            default -> throw new IllegalArgumentException(verb[0]);
        }
    }

    static synchronized void say(Object row) throws Exception {
        System.out.println(JSON.writeValueAsString(row));
        System.out.flush();
    }

    static Properties config(Object... pairs) {
        Properties config = new Properties();
        config.put("bootstrap.servers", request.get("brokers").asText());
        for (int n = 0; n < pairs.length; n += 2) config.put(pairs[n], pairs[n + 1]);
        JsonNode more = request.path("config");
        more.fieldNames().forEachRemaining(name -> config.put(name, more.get(name).asText()));
        return config;
    }

    static byte[] bytes(JsonNode packed) {
        return packed == null || packed.isNull() ? null : Base64.getDecoder().decode(packed.asText());
    }

    static String pack(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    static void produce() throws Exception {
        String topic = request.get("topic").asText();
        Properties config = config(
            "acks", request.get("acks").asText(),
            "compression.type", request.get("codec").asText(),
            "enable.idempotence", request.get("idempotent").asText(),
            "max.request.size", "2000000",
            "linger.ms", "5");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (JsonNode message : request.get("messages")) {
                JsonNode stamp = message.get("timestamp");
                var record = new ProducerRecord<>(
                    topic, null, stamp.isNull() ? null : stamp.asLong(), bytes(message.get("key")), bytes(message.get("value")));
                for (JsonNode header : message.get("headers")) record.headers().add(header.get(0).asText(), bytes(header.get(1)));
                sent.add(producer.send(record));
            }
            for (Future<RecordMetadata> one : sent) one.get();
        }
    }

    static void consume() throws Exception {
        String topic = request.get("topic").asText();
        boolean grouped = !request.get("group").isNull();
        Properties config = config("auto.offset.reset", "earliest", "enable.auto.commit", "false");
        if (grouped) config.put("group.id", request.get("group").asText());
        int left = request.get("many").asInt();
        long deadline = System.nanoTime() + request.get("seconds").asLong() * 1_000_000_000L;
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            if (grouped) {
                consumer.subscribe(List.of(topic));
            } else {
                var all = consumer.partitionsFor(topic).stream().map(one -> new TopicPartition(topic, one.partition())).toList();
                consumer.assign(all);
                consumer.seekToBeginning(all);
            }
            Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
            while (left > 0 && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofMillis(200))) {
                    if (left-- <= 0) break;
                    List<List<String>> headers = new ArrayList<>();
                    for (Header header : one.headers()) headers.add(List.of(header.key(), pack(header.value())));
                    Map<String, Object> row = new HashMap<>();
                    row.put("partition", one.partition());
                    row.put("offset", one.offset());
                    row.put("timestamp", one.timestamp());
                    row.put("key", pack(one.key()));
                    row.put("value", pack(one.value()));
                    row.put("headers", headers);
                    say(row);
                    next.put(new TopicPartition(topic, one.partition()), new OffsetAndMetadata(one.offset() + 1));
                }
            }
            if (grouped) consumer.commitSync(next);
        }
    }

    // A member of a consumer group, with the same lines on standard output as kafka_member.py.
    static void member() throws Exception {
        String topic = request.get("topic").asText();
        String assignor = Map.of(
            "range", RangeAssignor.class.getName(),
            "roundrobin", RoundRobinAssignor.class.getName(),
            "sticky", StickyAssignor.class.getName(),
            "cooperative-sticky", CooperativeStickyAssignor.class.getName()).get(request.get("strategy").asText());
        Properties config = config(
            "group.id", request.get("group").asText(),
            "auto.offset.reset", "earliest",
            "enable.auto.commit", "false",
            "session.timeout.ms", "6000",
            "heartbeat.interval.ms", "500",
            "metadata.max.age.ms", "1000",
            "partition.assignment.strategy", assignor);
        if (request.hasNonNull("instance")) config.put("group.instance.id", request.get("instance").asText());
        var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Thread reader = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                reader.join();
            } catch (InterruptedException ended) {
                // The process ends either way.
            }
        }));
        Set<Integer> owned = new TreeSet<>();
        consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            void tell() {
                try {
                    say(Map.of("assigned", owned));
                } catch (Exception error) {
                    throw new RuntimeException(error);
                }
            }

            public void onPartitionsAssigned(Collection<TopicPartition> more) {
                more.forEach(one -> owned.add(one.partition()));
                tell();
            }

            public void onPartitionsRevoked(Collection<TopicPartition> gone) {
                gone.forEach(one -> owned.remove(one.partition()));
                tell();
            }
        });
        try {
            while (true) {
                List<List<Object>> read = new ArrayList<>();
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofMillis(200)))
                    read.add(List.of(one.partition(), one.offset(), new String(one.value(), StandardCharsets.UTF_8)));
                if (read.isEmpty()) continue;
                say(Map.of("records", read));
                try {
                    consumer.commitSync();
                } catch (CommitFailedException | RebalanceInProgressException error) {
                    // The next commit has what is still owned.
                    say(Map.of("commit", error.getMessage()));
                }
            }
        } catch (WakeupException ended) {
            consumer.close();
        }
    }

    static void admin() throws Exception {
        try (Admin admin = Admin.create(config())) {
            String topic = request.path("topic").asText();
            int count = request.path("partitions").asInt();
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            switch (request.get("do").asText()) {
                case "create" -> {
                    Map<String, String> settings = new HashMap<>();
                    JsonNode own = request.path("settings");
                    own.fieldNames().forEachRemaining(name -> settings.put(name, own.get(name).asText()));
                    admin.createTopics(List.of(new NewTopic(topic, count, (short) 1).configs(settings))).all().get();
                }
                case "grow" -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(count))).all().get();
                case "delete" -> admin.deleteTopics(List.of(topic)).all().get();
                case "alter" -> {
                    List<AlterConfigOp> changes = new ArrayList<>();
                    JsonNode own = request.get("settings");
                    own.fieldNames().forEachRemaining(name -> changes.add(
                        new AlterConfigOp(new ConfigEntry(name, own.get(name).asText()), AlterConfigOp.OpType.SET)));
                    admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
                }
                case "trim" -> admin.deleteRecords(
                    Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(request.get("before").asLong()))).all().get();
                case "describe" -> {
                    Map<String, Object> told = new HashMap<>();
                    told.put("cluster", admin.describeCluster().clusterId().get());
                    told.put("nodes", admin.describeCluster().nodes().get().size());
                    told.put("partitions", admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
                    Map<String, String> settings = new HashMap<>();
                    admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()
                        .forEach(entry -> settings.put(entry.name(), String.valueOf(entry.value())));
                    told.put("settings", settings);
                    var first = new TopicPartition(topic, 0);
                    told.put("earliest", admin.listOffsets(Map.of(first, OffsetSpec.earliest())).partitionResult(first).get().offset());
                    told.put("latest", admin.listOffsets(Map.of(first, OffsetSpec.latest())).partitionResult(first).get().offset());
                    told.put("topics", new TreeSet<>(admin.listTopics().names().get()));
                    say(told);
                }
                case "groups" -> {
                    Map<String, Object> told = new HashMap<>();
                    for (GroupListing group : admin.listGroups().all().get()) {
                        Map<String, Long> offsets = new TreeMap<>();
                        admin.listConsumerGroupOffsets(group.groupId()).partitionsToOffsetAndMetadata().get()
                            .forEach((place, offset) -> offsets.put(place.toString(), offset.offset()));
                        told.put(group.groupId(), offsets);
                    }
                    say(told);
                }
                case "reset" -> admin.alterConsumerGroupOffsets(
                    request.get("group").asText(),
                    Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(request.get("offset").asLong()))).all().get();
                default -> throw new IllegalArgumentException(request.toString());
            }
        }
    }
}
