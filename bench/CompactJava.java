import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.paimon.catalog.Catalog;
import org.apache.paimon.catalog.CatalogContext;
import org.apache.paimon.catalog.CatalogFactory;
import org.apache.paimon.catalog.Identifier;
import org.apache.paimon.disk.IOManager;
import org.apache.paimon.fs.Path;
import org.apache.paimon.manifest.BucketEntry;
import org.apache.paimon.table.FileStoreTable;
import org.apache.paimon.table.sink.CommitMessage;
import org.apache.paimon.table.sink.StreamTableCommit;
import org.apache.paimon.table.sink.StreamTableWrite;
import org.apache.paimon.table.sink.StreamWriteBuilder;

/**
 * Full compactions by Paimon Java, a thread a bucket: CompactJava WAREHOUSE…, one after the other in one JVM. Prints the
 * seconds of each, without the start of the JVM; the first ones warm it up.
 */
public class CompactJava {
    public static void main(String[] warehouses) throws Exception {
        for (String warehouse : warehouses) {
            Catalog catalog = CatalogFactory.createCatalog(CatalogContext.create(new Path(warehouse)));
            FileStoreTable table = (FileStoreTable) catalog.getTable(Identifier.create("default", "t"));
            long start = System.nanoTime();
            compact(table.copy(Map.of("write-only", "false")));
            System.out.println((System.nanoTime() - start) / 1e9);
        }
    }

    static void compact(FileStoreTable table) throws Exception {
        StreamWriteBuilder builder = table.newStreamWriteBuilder().withCommitUser("bench");
        List<BucketEntry> buckets = table.newSnapshotReader().bucketEntries();
        ExecutorService threads = Executors.newFixedThreadPool(2, job -> {
            Thread thread = new Thread(job);
            thread.setDaemon(true); // so that an exception ends the program
            return thread;
        });
        List<Future<List<CommitMessage>>> running = new ArrayList<>();
        for (BucketEntry bucket : buckets) {
            Callable<List<CommitMessage>> job = () -> {
                try (StreamTableWrite write = builder.newWrite()) {
                    write.withIOManager(IOManager.create(System.getProperty("java.io.tmpdir")));
                    write.compact(bucket.partition(), bucket.bucket(), true);
                    return write.prepareCommit(true, 1);
                }
            };
            running.add(threads.submit(job));
        }
        List<CommitMessage> messages = new ArrayList<>();
        for (Future<List<CommitMessage>> one : running) messages.addAll(one.get());
        threads.shutdown();
        try (StreamTableCommit commit = builder.newCommit()) {
            commit.commit(1, messages);
        }
    }
}
