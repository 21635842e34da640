-- +goose Up
-- Times are microseconds since 1970 in UTC, 0 for none; lists are JSON. Names sort by their bytes.
CREATE TABLE users (
  name         text NOT NULL PRIMARY KEY,
  full_name    text NOT NULL,
  email        text NOT NULL,
  role         text NOT NULL,
  disabled     integer NOT NULL,
  password     text NOT NULL,
  failures     integer NOT NULL,
  last_attempt integer NOT NULL,
  created      integer NOT NULL,
  updated      integer NOT NULL,
  version      integer NOT NULL
) STRICT;
CREATE TABLE keys (
  id      text NOT NULL PRIMARY KEY,
  name    text NOT NULL,
  owner   text NOT NULL,
  hash    blob NOT NULL,
  role    text NOT NULL,
  servers text NOT NULL,
  created integer NOT NULL,
  expires integer NOT NULL,
  used    integer NOT NULL,
  revoked integer NOT NULL
) STRICT;
CREATE INDEX keys_by_owner ON keys (owner, id);
CREATE TABLE families (
  id      text NOT NULL PRIMARY KEY,
  subject text NOT NULL,
  client  text NOT NULL,
  hash    blob NOT NULL,
  data    blob NOT NULL,
  created integer NOT NULL,
  expires integer NOT NULL,
  revoked integer NOT NULL
) STRICT;
CREATE INDEX families_by_subject ON families (subject);
CREATE INDEX families_by_expiry ON families (expires);
CREATE TABLE denials (
  id    text NOT NULL PRIMARY KEY,
  until integer NOT NULL
) STRICT;
CREATE INDEX denials_by_end ON denials (until);
CREATE TABLE spent (
  id    text NOT NULL PRIMARY KEY,
  until integer NOT NULL
) STRICT;
CREATE INDEX spent_by_end ON spent (until);
CREATE TABLE signing_keys (
  id        text NOT NULL PRIMARY KEY,
  position  integer NOT NULL UNIQUE, -- in the order of being added
  algorithm text NOT NULL,
  public    blob NOT NULL,
  private   blob NOT NULL,
  created   integer NOT NULL,
  active    integer NOT NULL,
  expires   integer NOT NULL
) STRICT;
CREATE TABLE clients (
  id      text NOT NULL PRIMARY KEY,
  data    blob NOT NULL,
  created integer NOT NULL,
  expires integer NOT NULL,
  version integer NOT NULL
) STRICT;
CREATE TABLE consents (
  subject  text NOT NULL,
  client   text NOT NULL,
  redirect text NOT NULL,
  scopes   text NOT NULL,
  granted  integer NOT NULL,
  expires  integer NOT NULL,
  PRIMARY KEY (subject, client, redirect)
) STRICT;
CREATE TABLE pins (
  server     text NOT NULL,
  kind       text NOT NULL,
  name       text NOT NULL,
  hash       text NOT NULL,
  definition blob NOT NULL,
  state      text NOT NULL,
  decided_by text NOT NULL,
  at         integer NOT NULL,
  created    integer NOT NULL,
  version    integer NOT NULL,
  PRIMARY KEY (server, kind, name, hash)
) STRICT;
CREATE TABLE credentials (
  principal  text NOT NULL,
  issuer     text NOT NULL,
  ciphertext blob NOT NULL,
  key        text NOT NULL,
  expires    integer NOT NULL,
  updated    integer NOT NULL,
  version    integer NOT NULL,
  PRIMARY KEY (principal, issuer)
) STRICT;
CREATE TABLE data_keys (
  subject  text NOT NULL,
  id       text NOT NULL,
  position integer NOT NULL, -- in the order of being added, within a subject
  wrapped  blob NOT NULL,
  wrapper  text NOT NULL,
  created  integer NOT NULL,
  version  integer NOT NULL,
  PRIMARY KEY (subject, id)
) STRICT;
-- What replicas have to forget, numbered without gaps in the order of being committed.
CREATE TABLE changes (
  position integer PRIMARY KEY,
  domain   text NOT NULL,
  key      text NOT NULL
) STRICT;
