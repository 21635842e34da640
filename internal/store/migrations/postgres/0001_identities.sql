-- +goose Up
-- Times are microseconds since 1970 in UTC, 0 for none; lists are JSON. Names sort by their bytes on every database.
CREATE TABLE users (
  name         text COLLATE "C" PRIMARY KEY,
  full_name    text NOT NULL,
  email        text NOT NULL,
  role         text NOT NULL,
  disabled     bigint NOT NULL,
  password     text NOT NULL,
  failures     bigint NOT NULL,
  last_attempt bigint NOT NULL,
  created      bigint NOT NULL,
  updated      bigint NOT NULL,
  version      bigint NOT NULL
);
CREATE TABLE keys (
  id      text COLLATE "C" PRIMARY KEY,
  name    text NOT NULL,
  owner   text COLLATE "C" NOT NULL,
  hash    bytea NOT NULL,
  role    text NOT NULL,
  servers text NOT NULL,
  created bigint NOT NULL,
  expires bigint NOT NULL,
  used    bigint NOT NULL,
  revoked bigint NOT NULL
);
CREATE INDEX keys_by_owner ON keys (owner, id);
CREATE TABLE families (
  id      text COLLATE "C" PRIMARY KEY,
  subject text COLLATE "C" NOT NULL,
  client  text COLLATE "C" NOT NULL,
  hash    bytea NOT NULL,
  data    bytea NOT NULL,
  created bigint NOT NULL,
  expires bigint NOT NULL,
  revoked bigint NOT NULL
);
CREATE INDEX families_by_subject ON families (subject);
CREATE INDEX families_by_expiry ON families (expires);
CREATE TABLE denials (
  id    text COLLATE "C" PRIMARY KEY,
  until bigint NOT NULL
);
CREATE INDEX denials_by_end ON denials (until);
CREATE TABLE spent (
  id    text COLLATE "C" PRIMARY KEY,
  until bigint NOT NULL
);
CREATE INDEX spent_by_end ON spent (until);
CREATE TABLE signing_keys (
  id        text COLLATE "C" PRIMARY KEY,
  position  bigint NOT NULL UNIQUE, -- in the order of being added
  algorithm text NOT NULL,
  public    bytea NOT NULL,
  private   bytea NOT NULL,
  created   bigint NOT NULL,
  active    bigint NOT NULL,
  expires   bigint NOT NULL
);
CREATE TABLE clients (
  id      text COLLATE "C" PRIMARY KEY,
  data    bytea NOT NULL,
  created bigint NOT NULL,
  expires bigint NOT NULL,
  version bigint NOT NULL
);
CREATE TABLE consents (
  subject  text COLLATE "C" NOT NULL,
  client   text COLLATE "C" NOT NULL,
  redirect text COLLATE "C" NOT NULL,
  scopes   text NOT NULL,
  granted  bigint NOT NULL,
  expires  bigint NOT NULL,
  PRIMARY KEY (subject, client, redirect)
);
CREATE TABLE pins (
  server     text COLLATE "C" NOT NULL,
  kind       text COLLATE "C" NOT NULL,
  name       text COLLATE "C" NOT NULL,
  hash       text COLLATE "C" NOT NULL,
  definition bytea NOT NULL,
  state      text NOT NULL,
  decided_by text NOT NULL,
  at         bigint NOT NULL,
  created    bigint NOT NULL,
  version    bigint NOT NULL,
  PRIMARY KEY (server, kind, name, hash)
);
CREATE TABLE credentials (
  principal  text COLLATE "C" NOT NULL,
  issuer     text COLLATE "C" NOT NULL,
  ciphertext bytea NOT NULL,
  key        text NOT NULL,
  expires    bigint NOT NULL,
  updated    bigint NOT NULL,
  version    bigint NOT NULL,
  PRIMARY KEY (principal, issuer)
);
CREATE TABLE data_keys (
  subject  text COLLATE "C" NOT NULL,
  id       text COLLATE "C" NOT NULL,
  position bigint NOT NULL, -- in the order of being added, within a subject
  wrapped  bytea NOT NULL,
  wrapper  text NOT NULL,
  created  bigint NOT NULL,
  version  bigint NOT NULL,
  PRIMARY KEY (subject, id)
);
-- What replicas have to forget, numbered without gaps in the order of being committed.
CREATE TABLE changes (
  position bigint PRIMARY KEY,
  domain   text NOT NULL,
  key      text NOT NULL
);
