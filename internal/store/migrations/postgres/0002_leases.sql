-- +goose Up
CREATE TABLE leases (
  name   text COLLATE "C" NOT NULL PRIMARY KEY,
  holder text COLLATE "C" NOT NULL,
  until  bigint NOT NULL
);
