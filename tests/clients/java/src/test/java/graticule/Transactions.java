package graticule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.stream.Stream;
import org.apache.iceberg.HasTableOperations;
import org.apache.iceberg.Schema;
import org.apache.iceberg.TableMetadata;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableCommit;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.exceptions.CommitFailedException;
import org.apache.iceberg.rest.RESTCatalog;
import org.apache.iceberg.types.Types;
import org.junit.jupiter.api.Test;

/** Several tables in one commit: all of them change, or none when one had changed meanwhile. */
class Transactions {
  private static final TableIdentifier ROADS = TableIdentifier.of("together", "roads");
  private static final TableIdentifier TOWNS = TableIdentifier.of("together", "towns");

  @Test
  void tablesChangeTogetherOrNotAtAll() throws Exception {
    try (RESTCatalog catalog = Root.catalog()) {
      Schema schema = new Schema(Types.NestedField.optional(1, "id", Types.LongType.get()));
      catalog.createNamespace(Namespace.of("together"));
      catalog.createTable(ROADS, schema);
      catalog.createTable(TOWNS, schema);

      TableMetadata roads = load(catalog, ROADS);
      catalog.commitTransaction(
          widened(ROADS, roads, "name"), widened(TOWNS, load(catalog, TOWNS), "name"));
      assertThat(load(catalog, ROADS).schema().findField("name")).isNotNull();
      assertThat(load(catalog, TOWNS).schema().findField("name")).isNotNull();

      TableCommit late = widened(ROADS, roads, "length");
      TableCommit prompt = widened(TOWNS, load(catalog, TOWNS), "length");
      assertThatThrownBy(() -> catalog.commitTransaction(prompt, late))
          .isInstanceOf(CommitFailedException.class);
      assertThat(load(catalog, ROADS).schema().findField("length")).isNull();
      assertThat(load(catalog, TOWNS).schema().findField("length")).isNull();
    }
  }

  private static TableCommit widened(TableIdentifier table, TableMetadata base, String column) {
    int id = base.lastColumnId() + 1;
    Schema wider =
        new Schema(
            Stream.concat(
                    base.schema().columns().stream(),
                    Stream.of(
                        Types.NestedField.optional(id, column, Types.StringType.get())))
                .toList());
    return TableCommit.create(
        table, base, TableMetadata.buildFrom(base).setCurrentSchema(wider, id).build());
  }

  private static TableMetadata load(RESTCatalog catalog, TableIdentifier table) {
    return ((HasTableOperations) catalog.loadTable(table)).operations().refresh();
  }
}
