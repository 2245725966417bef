//! The set of roots. What lies in them is tested through the toolkits that stand on this.

use tempfile::TempDir;
use waybill_workspace::{Error, Root, Roots};

#[test]
fn roots_that_cannot_be_served_are_refused() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let open = |roots: &[Root]| Roots::open(roots, &[]).unwrap_err();
    assert!(matches!(open(&[]), Error::NoRoots));
    assert!(matches!(
        open(&[Root::new("a/b", folder.path())]),
        Error::Name(_)
    ));
    assert!(matches!(
        open(&[Root::new("", folder.path())]),
        Error::Name(_)
    ));
    let root = Root::new("a", folder.path());
    assert!(matches!(open(&[root.clone(), root]), Error::Duplicate(_)));
    for path in ["none", "file"] {
        let error = open(&[Root::new("a", folder.path().join(path))]);
        assert!(matches!(error, Error::Open { .. }), "{error}");
    }
    let root = [Root::new("a", folder.path())];
    let gone = Roots::open(&root, &[folder.path().join("gone")]).unwrap_err();
    assert!(matches!(gone, Error::Hide { .. }), "{gone}");
}
