package graticule;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.iceberg.AppendFiles;
import org.apache.iceberg.BaseTable;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.DataFiles;
import org.apache.iceberg.DeleteFile;
import org.apache.iceberg.FileFormat;
import org.apache.iceberg.FileMetadata;
import org.apache.iceberg.FileScanTask;
import org.apache.iceberg.HasTableOperations;
import org.apache.iceberg.Metrics;
import org.apache.iceberg.PartitionData;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.Schema;
import org.apache.iceberg.Table;
import org.apache.iceberg.TableScan;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.expressions.Expression;
import org.apache.iceberg.expressions.Expressions;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.rest.RESTCatalog;
import org.apache.iceberg.types.Conversions;
import org.apache.iceberg.types.Types;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the server plans, the client plans as well when it reads the manifests itself: file by file,
 * with the same deletes, and the server never fewer.
 */
class ScanPlanning {
  private static final Schema SCHEMA =
      new Schema(
          Types.NestedField.optional(1, "id", Types.LongType.get()),
          Types.NestedField.optional(2, "longitude", Types.DoubleType.get()),
          Types.NestedField.optional(3, "latitude", Types.DoubleType.get()),
          Types.NestedField.optional(4, "kind", Types.StringType.get()));
  private static final PartitionSpec SPEC =
      PartitionSpec.builderFor(SCHEMA).identity("kind").build();
  private static final int FILES = 12;

  @ParameterizedTest
  @ValueSource(ints = {2, 3})
  void deletesAreAttachedAsTheClientAttachesThem(int version) throws Exception {
    try (RESTCatalog catalog = Root.catalog()) {
      Table table = filled(catalog, version);
      List<DataFile> files = files(table);
      DataFile first = files.get(0);
      DataFile second = files.get(1);
      if (version == 2) {
        table.newRowDelta().addDeletes(positions(first, "of one file", first.location())).commit();
        table.newRowDelta().addDeletes(positions(second, "of a partition", null)).commit();
      } else {
        // Two vectors in one file: they differ by their place in it alone.
        table.newRowDelta().addDeletes(vector(first, 4)).addDeletes(vector(second, 50)).commit();
      }
      table.newRowDelta().addDeletes(equality(first)).commit();
      table.newAppend().appendFile(file(100, "a")).commit();
      assertSame(catalog, Expressions.alwaysTrue());
      assertSame(catalog, Expressions.greaterThanOrEqual("id", 50L));
      assertSame(catalog, Expressions.equal("kind", "a"));
      assertSame(catalog, Expressions.isNull("kind"));
      assertSame(catalog, Expressions.notNull("kind"));
    }
  }

  @Test
  void aWindowOnPositionsLeavesTheFilesThatItTouches() throws Exception {
    try (RESTCatalog catalog = Root.catalog()) {
      filled(catalog, 2);
      Expression window =
          Expressions.and(
              Expressions.greaterThanOrEqual("longitude", 2.5),
              Expressions.lessThanOrEqual("longitude", 5.0),
              Expressions.notNull("id"));
      assertThat(planned(scan(catalog).filter(window))).hasSize(3);
      assertSame(catalog, window);
    }
  }

  @Test
  void anEarlierSnapshotIsPlannedAsItWas() throws Exception {
    try (RESTCatalog catalog = Root.catalog()) {
      Table table = filled(catalog, 2);
      long before = table.currentSnapshot().snapshotId();
      table.newAppend().appendFile(file(100, "a")).commit();
      assertThat(planned(scan(catalog).useSnapshot(before))).hasSize(FILES);
      assertThat(planned(scan(catalog))).hasSize(FILES + 1);
    }
  }

  @Test
  void columnStatisticsComeWhenTheyAreAskedFor() throws Exception {
    try (RESTCatalog catalog = Root.catalog()) {
      filled(catalog, 2);
      TableScan scan = scan(catalog).includeColumnStats(List.of("id", "longitude"));
      try (CloseableIterable<FileScanTask> tasks = scan.planFiles()) {
        for (FileScanTask task : tasks) {
          assertThat(task.file().lowerBounds()).containsOnlyKeys(1, 2);
          ByteBuffer bound = task.file().lowerBounds().get(1);
          assertThat((Long) Conversions.fromByteBuffer(Types.LongType.get(), bound))
              .isBetween(0L, (long) FILES);
        }
      }
    }
  }

  private static TableIdentifier id() {
    return TableIdentifier.of("planned", "t");
  }

  private static Table filled(RESTCatalog catalog, int version) {
    if (!catalog.namespaceExists(Namespace.of("planned"))) {
      catalog.createNamespace(Namespace.of("planned"));
    }
    catalog.dropTable(id(), false);
    Map<String, String> properties =
        Map.of("format-version", String.valueOf(version), "scan-planning-mode", "server");
    Table table = catalog.createTable(id(), SCHEMA, SPEC, properties);
    for (int start = 0; start < FILES; start += 4) {
      AppendFiles append = table.newFastAppend();
      for (int at = start; at < start + 4; at++) {
        append.appendFile(file(at, new String[] {"a", "b", null}[at % 3]));
      }
      append.commit();
    }
    return table;
  }

  private static TableScan scan(RESTCatalog catalog) {
    Table table = catalog.loadTable(id());
    assertThat(table.getClass().getSimpleName()).isEqualTo("RESTTable");
    return table.newScan();
  }

  private static void assertSame(RESTCatalog catalog, Expression filter) throws Exception {
    Table table = catalog.loadTable(id());
    assertThat(table.getClass().getSimpleName()).isEqualTo("RESTTable");
    BaseTable local = new BaseTable(((HasTableOperations) table).operations(), "local");
    assertThat(planned(table.newScan().filter(filter)))
        .isEqualTo(planned(local.newScan().filter(filter)));
  }

  private static TreeSet<String> planned(TableScan scan) throws Exception {
    TreeSet<String> found = new TreeSet<>();
    try (CloseableIterable<FileScanTask> tasks = scan.planFiles()) {
      for (FileScanTask task : tasks) {
        assertThat(task.residual()).isNotNull();
        TreeSet<String> deletes = new TreeSet<>();
        for (DeleteFile delete : task.deletes()) {
          deletes.add(delete.location() + "@" + delete.contentOffset() + "/" + delete.content());
        }
        String partition = String.valueOf(task.file().partition().get(0, Object.class));
        assertThat(found.add(task.file().location() + " " + partition + " " + deletes)).isTrue();
      }
    }
    return found;
  }

  private static List<DataFile> files(Table table) throws Exception {
    BaseTable local = new BaseTable(((HasTableOperations) table).operations(), "local");
    List<DataFile> files = new ArrayList<>();
    try (CloseableIterable<FileScanTask> tasks = local.newScan().planFiles()) {
      tasks.forEach(task -> files.add(task.file().copy()));
    }
    files.sort((one, other) -> one.location().compareTo(other.location()));
    return files;
  }

  private static PartitionData partition(Object kind) {
    PartitionData data = new PartitionData(SPEC.partitionType());
    data.set(0, kind);
    return data;
  }

  private static DataFile file(int at, String kind) {
    Map<Integer, Long> counts = Map.of(1, 10L, 2, 10L, 3, 10L);
    Map<Integer, ByteBuffer> bounds =
        Map.of(
            1, Conversions.toByteBuffer(Types.LongType.get(), (long) at),
            2, Conversions.toByteBuffer(Types.DoubleType.get(), (double) at),
            3, Conversions.toByteBuffer(Types.DoubleType.get(), 0.5));
    Map<Integer, Long> none = Map.of(1, 0L, 2, 0L, 3, 0L);
    return DataFiles.builder(SPEC)
        .withPath(String.format("%s/data/%03d.parquet", Root.location(), at))
        .withFormat(FileFormat.PARQUET)
        .withFileSizeInBytes(1_000)
        .withPartition(partition(kind))
        .withMetrics(new Metrics(10L, counts, counts, none, null, bounds, bounds))
        .build();
  }

  private static FileMetadata.Builder deletes(DataFile of, String name) {
    return FileMetadata.deleteFileBuilder(SPEC)
        .withPath(String.format("%s/data/%s", Root.location(), name))
        .withFileSizeInBytes(500)
        .withPartition(partition(of.partition().get(0, Object.class)))
        .withRecordCount(1);
  }

  private static DeleteFile positions(DataFile of, String name, String path) {
    FileMetadata.Builder builder =
        deletes(of, name + ".parquet").ofPositionDeletes().withFormat(FileFormat.PARQUET);
    return (path == null ? builder : builder.withReferencedDataFile(path)).build();
  }

  private static DeleteFile equality(DataFile of) {
    return deletes(of, "equal.parquet")
        .ofEqualityDeletes(1)
        .withFormat(FileFormat.PARQUET)
        .build();
  }

  private static DeleteFile vector(DataFile of, long offset) {
    return deletes(of, "vectors.puffin")
        .ofPositionDeletes()
        .withFormat(FileFormat.PUFFIN)
        .withReferencedDataFile(of.location())
        .withContentOffset(offset)
        .withContentSizeInBytes(40)
        .build();
  }
}
