import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableDescriptor;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * Flink SQL in a cluster of one process. Reads a command a line, each word behind a tab: `do` a statement, `set` an option and its
 * value, `run` a query into a sink that drops the rows. Answers a line: `ok`, `ran` milliseconds of the job and of the
 * processor, or `error` and why.
 */
public class FlinkPeer {
    public static void main(String[] arguments) throws Exception {
        Configuration options = new Configuration();
        for (String argument : arguments) {
            String[] option = argument.split("=", 2);
            options.setString(option[0], option[1]);
        }
        TableEnvironment tables =
            TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(options).build());
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split("\t");
            String answer;
            try {
                answer = obey(tables, words);
            } catch (Exception failure) {
                Throwable cause = failure;
                while (cause.getCause() != null) {
                    cause = cause.getCause();
                }
                answer = "error\t" + String.valueOf(cause.getMessage()).replaceAll("\\s+", " ");
            }
            System.out.println(answer);
            System.out.flush();
        }
    }

    private static String obey(TableEnvironment tables, String[] words) throws Exception {
        switch (words[0]) {
            case "do":
                tables.executeSql(words[1]).await();
                return "ok";
            case "set":
                tables.getConfig().set(words[1], words[2]);
                return "ok";
            default:
                long before = cpuNanos();
                TableResult result =
                    tables.sqlQuery(words[1]).insertInto(TableDescriptor.forConnector("blackhole").build()).execute();
                long millis = result.getJobClient().get().getJobExecutionResult().get().getNetRuntime();
                return "ran\t" + millis + "\t" + (cpuNanos() - before) / 1_000_000;
        }
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }
}
