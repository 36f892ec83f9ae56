package graticule;

import static org.assertj.core.api.Assertions.assertThat;

import org.apache.iceberg.HasTableOperations;
import org.apache.iceberg.Schema;
import org.apache.iceberg.TableMetadata;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.rest.RESTCatalog;
import org.apache.iceberg.types.Types;
import org.junit.jupiter.api.Test;

/** The client's table cache: it works with our ETag, and a commit by somebody else ends it. */
class TableCache {
  private static final TableIdentifier TABLE = TableIdentifier.of("cached", "t");

  @Test
  void aTableThatDidNotChangeIsNotSentTwiceAndOneThatChangedIs() throws Exception {
    try (RESTCatalog reader = Root.catalog();
        RESTCatalog writer = Root.catalog()) {
      writer.createNamespace(Namespace.of("cached"));
      writer.createTable(
          TABLE, new Schema(Types.NestedField.optional(1, "id", Types.LongType.get())));

      TableMetadata first = load(reader);
      // Only an answer of 304 makes the client give out the very object it has.
      assertThat(load(reader)).isSameAs(first);

      writer.loadTable(TABLE).updateProperties().set("owner", "ana").commit();
      assertThat(load(reader).properties()).containsEntry("owner", "ana");
    }
  }

  private static TableMetadata load(RESTCatalog catalog) {
    return ((HasTableOperations) catalog.loadTable(TABLE)).operations().current();
  }
}
