import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;
import org.apache.paimon.catalog.Catalog;
import org.apache.paimon.catalog.CatalogContext;
import org.apache.paimon.catalog.CatalogFactory;
import org.apache.paimon.catalog.Identifier;
import org.apache.paimon.data.BinaryString;
import org.apache.paimon.data.DataGetters;
import org.apache.paimon.data.Decimal;
import org.apache.paimon.data.GenericArray;
import org.apache.paimon.data.GenericMap;
import org.apache.paimon.data.GenericRow;
import org.apache.paimon.data.InternalArray;
import org.apache.paimon.data.InternalMap;
import org.apache.paimon.data.InternalRow;
import org.apache.paimon.data.Timestamp;
import org.apache.paimon.disk.IOManager;
import org.apache.paimon.fs.Path;
import org.apache.paimon.index.HashBucketAssigner;
import org.apache.paimon.predicate.PredicateBuilder;
import org.apache.paimon.reader.RecordReader;
import org.apache.paimon.reader.RecordReaderIterator;
import org.apache.paimon.schema.Schema;
import org.apache.paimon.schema.SchemaChange;
import org.apache.paimon.shade.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.paimon.shade.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.paimon.table.BucketMode;
import org.apache.paimon.table.FileStoreTable;
import org.apache.paimon.table.Table;
import org.apache.paimon.table.sink.RowPartitionKeyExtractor;
import org.apache.paimon.table.sink.StreamTableCommit;
import org.apache.paimon.table.sink.StreamTableWrite;
import org.apache.paimon.table.sink.StreamWriteBuilder;
import org.apache.paimon.table.source.ReadBuilder;
import org.apache.paimon.table.source.SnapshotNotExistPlan;
import org.apache.paimon.table.source.Split;
import org.apache.paimon.table.source.StreamTableScan;
import org.apache.paimon.table.source.TableScan;
import org.apache.paimon.types.ArrayType;
import org.apache.paimon.types.DataType;
import org.apache.paimon.types.DataTypeChecks;
import org.apache.paimon.types.DecimalType;
import org.apache.paimon.types.MapType;
import org.apache.paimon.types.MultisetType;
import org.apache.paimon.types.RowKind;
import org.apache.paimon.types.RowType;

/**
 * The judge: Paimon Java behind a line protocol. One JSON request a line on standard input, one JSON answer a line
 * on standard output ({"rows": …}, {"ok": …} or {"error": …}). It stays up, so a test session pays for one JVM.
 */
public class PaimonJudge {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Map<String, Catalog> CATALOGS = new HashMap<>();

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err); // nothing but answers may reach standard output
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, Object> answer = new HashMap<>();
            try {
                JsonNode q = JSON.readTree(line);
                switch (q.get("do").asText()) {
                    case "read": answer.put("rows", read(table(q), q)); break;
                    case "write": write(table(q), q); answer.put("ok", true); break;
                    case "compact": compact(table(q)); answer.put("ok", true); break;
                    case "create": create(q); answer.put("ok", true); break;
                    case "alter": alter(q); answer.put("ok", true); break;
                    case "stream": answer.put("rows", stream(table(q))); break;
                    case "cast": answer.put("values", cast(q)); break;
                    case "bitmap64": answer.put("value", bitmap64(q)); break;
                    case "maintain": maintain((FileStoreTable) table(q), q); answer.put("ok", true); break;
                    case "drop": catalog(q).dropTable(id(q), true); answer.put("ok", true); break;
                    default: answer.put("error", "unknown request " + q.get("do"));
                }
            } catch (Throwable e) {
                StringBuilder why = new StringBuilder();
                for (Throwable t = e; t != null; t = t.getCause()) {
                    why.append(t).append(" at ").append(t.getStackTrace().length > 0 ? t.getStackTrace()[0] : "").append(" | ");
                }
                answer.clear();
                answer.put("error", why.toString());
            }
            out.write(JSON.writeValueAsBytes(answer));
            out.write('\n');
            out.flush();
        }
    }

    /** {"old": type, "new": type, "values": […]}: each value as an old file's is read, {"error": …} if it cannot be. */
    @SuppressWarnings("unchecked")
    static Object cast(JsonNode q) {
        DataType a = org.apache.paimon.types.DataTypeJsonParser.parseDataType(q.get("old"));
        DataType b = org.apache.paimon.types.DataTypeJsonParser.parseDataType(q.get("new"));
        if (!org.apache.paimon.types.DataTypeCasts.supportsCast(a, b, true)) return null;
        org.apache.paimon.casting.CastExecutor<Object, Object> cast =
                (org.apache.paimon.casting.CastExecutor<Object, Object>) org.apache.paimon.casting.CastExecutors.resolve(a, b);
        if (cast == null) return null;
        List<Object> out = new ArrayList<>();
        for (JsonNode v : q.get("values")) {
            try {
                out.add(value(GenericRow.of(cast.cast(parse(v, a))), 0, b));
            } catch (Throwable e) {
                out.add(Map.of("error", e.toString()));
            }
        }
        return out;
    }

    /** {"numbers": […]}: their 64-bit bitmap in base64; {"bitmap": base64}: its numbers. */
    static Object bitmap64(JsonNode q) throws Exception {
        org.apache.paimon.utils.RoaringBitmap64 written = new org.apache.paimon.utils.RoaringBitmap64();
        if (q.has("numbers")) {
            for (JsonNode n : q.get("numbers")) written.add(n.asLong());
            return Base64.getEncoder().encodeToString(written.serialize());
        }
        byte[] bytes = Base64.getDecoder().decode(q.get("bitmap").asText());
        org.apache.paimon.shade.org.roaringbitmap.longlong.Roaring64Bitmap read =
                new org.apache.paimon.shade.org.roaringbitmap.longlong.Roaring64Bitmap();
        read.deserialize(new java.io.DataInputStream(new java.io.ByteArrayInputStream(bytes)));
        List<Long> numbers = new ArrayList<>();
        read.forEach((long n) -> numbers.add(n));
        return numbers;
    }

    static Catalog catalog(JsonNode q) {
        return CATALOGS.computeIfAbsent(q.get("warehouse").asText(),
                w -> CatalogFactory.createCatalog(CatalogContext.create(new Path(w))));
    }

    static Identifier id(JsonNode q) {
        return Identifier.create(q.get("database").asText(), q.get("table").asText());
    }

    static Table table(JsonNode q) throws Exception {
        catalog(q).invalidateTable(id(q));
        Table t = catalog(q).getTable(id(q));
        Map<String, String> options = new HashMap<>();
        if (q.has("options")) q.get("options").fields().forEachRemaining(e -> options.put(e.getKey(), e.getValue().asText()));
        return options.isEmpty() ? t : t.copy(options);
    }

    /** {"columns": [[name, type SQL as JSON of Paimon's schema file], …], "primaryKey": […], "partition": […], "options": {…}} */
    static void create(JsonNode q) throws Exception {
        Schema.Builder b = Schema.newBuilder();
        for (JsonNode c : q.get("columns")) {
            b.column(c.get(0).asText(),
                    org.apache.paimon.types.DataTypeJsonParser.parseDataType(c.get(1)));
        }
        List<String> pk = new ArrayList<>();
        if (q.has("primaryKey")) q.get("primaryKey").forEach(k -> pk.add(k.asText()));
        List<String> partition = new ArrayList<>();
        if (q.has("partition")) q.get("partition").forEach(k -> partition.add(k.asText()));
        if (!pk.isEmpty()) b.primaryKey(pk);
        if (!partition.isEmpty()) b.partitionKeys(partition);
        if (q.has("options")) q.get("options").fields().forEachRemaining(e -> b.option(e.getKey(), e.getValue().asText()));
        catalog(q).createDatabase(q.get("database").asText(), true);
        catalog(q).createTable(id(q), b.build(), false);
    }

    /** {"where": [column, value]}: only files, and parts of them, that may have it; their other rows come, too. */
    static List<Object> read(Table t, JsonNode q) throws Exception {
        List<Object> rows = new ArrayList<>();
        ReadBuilder rb = t.newReadBuilder();
        RowType type = t.rowType();
        if (q.has("where")) {
            int column = type.getFieldIndex(q.get("where").get(0).asText());
            rb = rb.withFilter(new PredicateBuilder(type).equal(column, parse(q.get("where").get(1), type.getTypeAt(column))));
        }
        List<Split> splits = rb.newScan().plan().splits();
        try (RecordReader<InternalRow> r = rb.newRead().withIOManager(IOManager.create("/tmp")).createReader(splits);
                RecordReaderIterator<InternalRow> it = new RecordReaderIterator<>(r)) {
            while (it.hasNext()) rows.add(row(it.next(), type));
        }
        return rows;
    }

    /** What a streaming read gives from its start to the newest snapshot, in its order. */
    static List<Object> stream(Table t) throws Exception {
        List<Object> rows = new ArrayList<>();
        ReadBuilder rb = t.newReadBuilder();
        StreamTableScan scan = rb.newStreamScan();
        for (boolean first = true; ; first = false) { // the first plan may only choose where to begin
            TableScan.Plan plan = scan.plan();
            if (plan instanceof SnapshotNotExistPlan && first) continue;
            if (plan instanceof SnapshotNotExistPlan) return rows;
            try (RecordReader<InternalRow> r = rb.newRead().withIOManager(IOManager.create("/tmp")).createReader(plan.splits());
                    RecordReaderIterator<InternalRow> it = new RecordReaderIterator<>(r)) {
                while (it.hasNext()) rows.add(row(it.next(), t.rowType()));
            }
        }
    }

    /** {"changes": [[what, path, …], …]} */
    static void alter(JsonNode q) throws Exception {
        List<SchemaChange> changes = new ArrayList<>();
        for (JsonNode c : q.get("changes")) {
            String[] path = JSON.convertValue(c.get(1), String[].class);
            switch (c.get(0).asText()) {
                case "add": changes.add(SchemaChange.addColumn(path, type(c.get(2)), null, null)); break;
                case "drop": changes.add(SchemaChange.dropColumn(path)); break;
                case "rename": changes.add(SchemaChange.renameColumn(path, c.get(2).asText())); break;
                case "type": changes.add(SchemaChange.updateColumnType(path, type(c.get(2)), true)); break;
                case "option": changes.add(SchemaChange.setOption(path[0], c.get(2).asText())); break;
                default: throw new IllegalArgumentException(c.toString());
            }
        }
        catalog(q).alterTable(id(q), changes, false);
    }

    static DataType type(JsonNode type) {
        return org.apache.paimon.types.DataTypeJsonParser.parseDataType(type);
    }

    static List<Object> row(InternalRow r, RowType type) {
        List<Object> out = new ArrayList<>();
        for (int i = 0; i < type.getFieldCount(); i++) out.add(value(r, i, type.getTypeAt(i)));
        return out;
    }

    static Object value(DataGetters r, int i, DataType t) {
        if (r.isNullAt(i)) return null;
        switch (t.getTypeRoot()) {
            case BOOLEAN: return r.getBoolean(i);
            case TINYINT: return (int) r.getByte(i);
            case SMALLINT: return (int) r.getShort(i);
            case INTEGER: case DATE: case TIME_WITHOUT_TIME_ZONE: return r.getInt(i);
            case BIGINT: return r.getLong(i);
            case FLOAT: return Float.toString(r.getFloat(i));
            case DOUBLE: return Double.toString(r.getDouble(i));
            case CHAR: case VARCHAR: return r.getString(i).toString();
            case BINARY: case VARBINARY: return Base64.getEncoder().encodeToString(r.getBinary(i));
            case DECIMAL: return r.getDecimal(i, ((DecimalType) t).getPrecision(), ((DecimalType) t).getScale()).toBigDecimal().toPlainString();
            case TIMESTAMP_WITHOUT_TIME_ZONE: case TIMESTAMP_WITH_LOCAL_TIME_ZONE: {
                Timestamp ts = r.getTimestamp(i, DataTypeChecks.getPrecision(t));
                return ts.getMillisecond() + ":" + ts.getNanoOfMillisecond();
            }
            case ARRAY: return array(r.getArray(i), ((ArrayType) t).getElementType());
            case MAP: return map(r.getMap(i), ((MapType) t).getKeyType(), ((MapType) t).getValueType());
            case MULTISET: return map(r.getMap(i), ((MultisetType) t).getElementType(), new org.apache.paimon.types.IntType());
            case ROW: return row(r.getRow(i, ((RowType) t).getFieldCount()), (RowType) t);
            case VARIANT: {
                org.apache.paimon.data.variant.Variant v = r.getVariant(i);
                Base64.Encoder base64 = Base64.getEncoder();
                return List.of(base64.encodeToString(v.value()), base64.encodeToString(v.metadata()));
            }
            default: throw new IllegalArgumentException("type " + t);
        }
    }

    static List<Object> array(InternalArray a, DataType t) {
        List<Object> out = new ArrayList<>();
        for (int i = 0; i < a.size(); i++) out.add(value(a, i, t));
        return out;
    }

    static List<Object> map(InternalMap m, DataType k, DataType v) {
        List<Object> keys = array(m.keyArray(), k), values = array(m.valueArray(), v), out = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) out.add(List.of(keys.get(i), values.get(i) == null ? "NULL" : values.get(i)));
        return out;
    }

    /** {"rows": [[kind, v1, v2, …], …], "user": "u", "identifier": n}: one streaming commit, with Paimon's own compaction. */
    static void write(Table t, JsonNode q) throws Exception {
        StreamWriteBuilder wb = t.newStreamWriteBuilder().withCommitUser(q.get("user").asText());
        long identifier = q.get("identifier").asLong();
        try (StreamTableWrite w = wb.newWrite(); StreamTableCommit c = wb.newCommit()) {
            w.withIOManager(IOManager.create("/tmp"));
            RowType type = t.rowType();
            ToIntFunction<InternalRow> buckets = assigner((FileStoreTable) t, q);
            for (JsonNode r : q.get("rows")) {
                GenericRow g = new GenericRow(type.getFieldCount());
                g.setRowKind(kind(r.get(0).asText()));
                for (int i = 0; i < type.getFieldCount(); i++) g.setField(i, parse(r.get(i + 1), type.getTypeAt(i)));
                if (buckets == null) w.write(g);
                else w.write(g, buckets.applyAsInt(g));
            }
            c.commit(identifier, w.prepareCommit(true, identifier));
        }
    }

    /** Who chooses the buckets where the writer does not: the request, else Paimon's own assigner of dynamic buckets. */
    static ToIntFunction<InternalRow> assigner(FileStoreTable t, JsonNode q) {
        if (q.has("bucket")) return row -> q.get("bucket").asInt();
        if (t.bucketMode() != BucketMode.HASH_DYNAMIC) return null;
        RowPartitionKeyExtractor keys = new RowPartitionKeyExtractor(t.schema());
        HashBucketAssigner assigner = new HashBucketAssigner(
                t.snapshotManager(), q.get("user").asText(), t.store().newIndexFileHandler(), 1, 1, 0,
                t.coreOptions().dynamicBucketTargetRowNum(), t.coreOptions().dynamicBucketMaxBuckets());
        return row -> assigner.assign(keys.partition(row), keys.trimmedPrimaryKey(row).hashCode());
    }

    static void compact(Table t) throws Exception {
        FileStoreTable f = (FileStoreTable) t;
        StreamWriteBuilder wb = t.newStreamWriteBuilder().withCommitUser("judge-compact");
        long identifier = System.nanoTime();
        try (StreamTableWrite w = wb.newWrite(); StreamTableCommit c = wb.newCommit()) {
            w.withIOManager(IOManager.create("/tmp"));
            f.newSnapshotReader().bucketEntries().forEach(b -> {
                try {
                    w.compact(b.partition(), b.bucket(), true);
                } catch (Exception e) {
                    throw new RuntimeException(e);
                }
            });
            c.commit(identifier, w.prepareCommit(true, identifier));
        }
    }

    /** {"what": …, "arguments": […]}: what CALL sys.<what> does, through the interface of a table. */
    static void maintain(FileStoreTable t, JsonNode q) {
        JsonNode a = q.get("arguments");
        switch (q.get("what").asText()) {
            case "create_tag": t.createTag(a.get(0).asText(), a.get(1).asLong()); break;
            case "delete_tag": t.deleteTag(a.get(0).asText()); break;
            case "create_branch": t.createBranch(a.get(0).asText(), a.get(1).asText()); break;
            case "delete_branch": t.deleteBranch(a.get(0).asText()); break;
            case "fast_forward": t.fastForward(a.get(0).asText()); break;
            case "rollback_to": t.rollbackTo(a.get(0).asLong()); break;
            case "expire_snapshots": {
                org.apache.paimon.options.ExpireConfig config = org.apache.paimon.options.ExpireConfig.builder()
                        .snapshotRetainMax(a.get(0).asInt()).snapshotRetainMin(1)
                        .snapshotTimeRetain(java.time.Duration.ZERO).build();
                t.newExpireSnapshots().config(config).expire();
                break;
            }
            default: throw new IllegalArgumentException(q.get("what").asText());
        }
    }

    static RowKind kind(String s) {
        switch (s) {
            case "+I": return RowKind.INSERT;
            case "-U": return RowKind.UPDATE_BEFORE;
            case "+U": return RowKind.UPDATE_AFTER;
            case "-D": return RowKind.DELETE;
            default: throw new IllegalArgumentException(s);
        }
    }

    /** A list of [key, value]; a value "NULL" is none, as `map` prints it. */
    static Object parseMap(JsonNode v, DataType k, DataType t) {
        Map<Object, Object> out = new java.util.LinkedHashMap<>();
        for (JsonNode e : v) {
            boolean none = e.get(1).isTextual() && e.get(1).asText().equals("NULL");
            out.put(parse(e.get(0), k), none ? null : parse(e.get(1), t));
        }
        return new GenericMap(out);
    }

    static Object parse(JsonNode v, DataType t) {
        if (v.isNull()) return null;
        switch (t.getTypeRoot()) {
            case BOOLEAN: return v.asBoolean();
            case TINYINT: return (byte) v.asInt();
            case SMALLINT: return (short) v.asInt();
            case INTEGER: case DATE: case TIME_WITHOUT_TIME_ZONE: return v.asInt();
            case BIGINT: return v.asLong();
            case FLOAT: return (float) v.asDouble();
            case DOUBLE: return v.asDouble();
            case CHAR: case VARCHAR: return BinaryString.fromString(v.asText());
            case BINARY: case VARBINARY: return Base64.getDecoder().decode(v.asText());
            case DECIMAL: return Decimal.fromBigDecimal(new BigDecimal(v.asText()), ((DecimalType) t).getPrecision(), ((DecimalType) t).getScale());
            case TIMESTAMP_WITHOUT_TIME_ZONE: case TIMESTAMP_WITH_LOCAL_TIME_ZONE: {
                // as `value` prints them (epoch milliseconds:nanoseconds of the millisecond), or as a date and time
                String[] parts = v.asText().split(":");
                if (parts.length == 2) return Timestamp.fromEpochMillis(Long.parseLong(parts[0]), Integer.parseInt(parts[1]));
                return Timestamp.fromLocalDateTime(LocalDateTime.parse(v.asText()));
            }
            case ARRAY: {
                Object[] out = new Object[v.size()];
                for (int i = 0; i < out.length; i++) out[i] = parse(v.get(i), ((ArrayType) t).getElementType());
                return new GenericArray(out);
            }
            case VARIANT: return org.apache.paimon.data.variant.GenericVariant.fromJson(v.asText());
            case MAP: return parseMap(v, ((MapType) t).getKeyType(), ((MapType) t).getValueType());
            case MULTISET: return parseMap(v, ((MultisetType) t).getElementType(), new org.apache.paimon.types.IntType());
            case ROW: {
                GenericRow g = new GenericRow(v.size());
                for (int i = 0; i < v.size(); i++) g.setField(i, parse(v.get(i), ((RowType) t).getTypeAt(i)));
                return g;
            }
            default: throw new IllegalArgumentException("cannot write type " + t);
        }
    }
}
