-- The store of extracted features, emoscope.dataset.store: values by feature and recording, each with a
-- checksum, and what files held when they were read.
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS features (
  id INTEGER PRIMARY KEY, identity BLOB UNIQUE, name TEXT);
CREATE TABLE IF NOT EXISTS stored (
  feature INTEGER, recording BLOB, data BLOB, checksum INTEGER, UNIQUE (feature, recording));
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp BLOB, recording BLOB) WITHOUT ROWID;
COMMIT;
