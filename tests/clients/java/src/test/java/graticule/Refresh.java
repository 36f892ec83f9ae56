package graticule;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.io.OutputStream;
import org.apache.iceberg.Schema;
import org.apache.iceberg.Table;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.io.FileIO;
import org.apache.iceberg.rest.RESTCatalog;
import org.apache.iceberg.types.Types;
import org.junit.jupiter.api.Test;

/** A file is read for longer than any credential lasts, with the file IO of a single load. */
class Refresh {
  private static final long READS_FOR_MS = 9_000;
  private static final byte[] BYTES = "0123456789".getBytes();

  @Test
  void aFileIsReadForLongerThanACredentialLasts() throws Exception {
    try (RESTCatalog catalog = Root.catalog()) {
      catalog.createNamespace(Namespace.of("fresh"));
      Table table =
          catalog.createTable(
              TableIdentifier.of("fresh", "t"),
              new Schema(Types.NestedField.optional(1, "id", Types.LongType.get())));
      FileIO io = table.io();
      String file = table.location() + "/data/a";
      try (OutputStream out = io.newOutputFile(file).create()) {
        out.write(BYTES);
      }
      long endsAt = System.currentTimeMillis() + READS_FOR_MS;
      while (System.currentTimeMillis() < endsAt) {
        try (InputStream in = io.newInputFile(file).newStream()) {
          assertThat(in.readAllBytes()).isEqualTo(BYTES);
        }
        Thread.sleep(100);
      }
    }
  }
}
