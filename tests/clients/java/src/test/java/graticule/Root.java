package graticule;

import java.util.Map;
import org.apache.iceberg.rest.RESTCatalog;

/** The catalog under test, as the environment names it to the kit. */
final class Root {
  private Root() {}

  /** Where the catalog keeps its tables. */
  static String location() {
    return System.getenv("CATALOG_ROOT");
  }

  /** A client of its own. */
  static RESTCatalog catalog() {
    Map<String, String> env = System.getenv();
    RESTCatalog catalog = new RESTCatalog();
    catalog.initialize(
        "live",
        Map.of(
            "uri", env.get("CATALOG_URI"),
            "warehouse", env.get("CATALOG_WAREHOUSE"),
            "credential", env.get("CATALOG_CREDENTIAL"),
            "oauth2-server-uri", env.get("CATALOG_OAUTH2__SERVER__URI")));
    return catalog;
  }
}
