import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Kafka's own client, for tests of topics.
 *
 * read BOOTSTRAP TOPIC: prints all committed messages, a line each: partition, key, value, headers.
 * write BOOTSTRAP TOPIC FILE: writes the lines `key TAB value` of a file in one transaction, compressed, and then again in
 * a transaction that it aborts. An absent key or value is \N.
 */
public class KafkaJudge {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("read")) read(args[1], args[2]);
        else write(args[1], args[2], Files.readAllLines(Path.of(args[3])));
    }

    static void read(String bootstrap, String topic) {
        Map<String, Object> own = new HashMap<>();
        own.put("bootstrap.servers", bootstrap);
        own.put("isolation.level", "read_committed");
        own.put("enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(own, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (var info : consumer.partitionsFor(topic)) all.add(new TopicPartition(topic, info.partition()));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            var ends = consumer.endOffsets(all);
            while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p)))
                for (var r : consumer.poll(Duration.ofMillis(200))) {
                    var headers = new StringJoiner(",");
                    for (var h : r.headers()) headers.add(h.key() + "=" + new String(h.value(), StandardCharsets.UTF_8));
                    System.out.println(r.partition() + "\t" + shown(r.key()) + "\t" + shown(r.value()) + "\t" + headers);
                }
        }
    }

    static void write(String bootstrap, String topic, List<String> lines) {
        Map<String, Object> own = new HashMap<>();
        own.put("bootstrap.servers", bootstrap);
        own.put("transactional.id", topic + "-judge");
        own.put("compression.type", "gzip");
        try (var producer = new KafkaProducer<>(own, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            for (boolean commits : new boolean[] {true, false}) {
                producer.beginTransaction();
                for (String line : lines) {
                    String[] parts = line.split("\t");
                    producer.send(new ProducerRecord<>(topic, absent(parts[0]), absent(parts[1])));
                }
                producer.flush();
                if (commits) producer.commitTransaction();
                else producer.abortTransaction();
            }
        }
    }

    static String shown(String text) { return text == null ? "\\N" : text; }

    static String absent(String text) { return text.equals("\\N") ? null : text; }
}
