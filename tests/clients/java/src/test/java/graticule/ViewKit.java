package graticule;

import org.apache.iceberg.rest.RESTCompatibilityKitViewCatalogTests;

/** The official kit for views; the locations it asks for lie below our catalog, not in /tmp. */
public class ViewKit extends RESTCompatibilityKitViewCatalogTests {
  @Override
  protected String viewLocation(String... parts) {
    return Root.location() + "/view/" + String.join("/", parts);
  }
}
