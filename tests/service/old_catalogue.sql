-- The tables of a city as they were before revisions were counted, written by that program.
CREATE TABLE units (
    code VARCHAR(64) NOT NULL,
    parent VARCHAR(64),
    level VARCHAR(16) NOT NULL,
    name VARCHAR NOT NULL,
    name_zh VARCHAR NOT NULL,
    geometry JSON NOT NULL,
    PRIMARY KEY (code),
    FOREIGN KEY(parent) REFERENCES units (code)
);
CREATE TABLE streets (
    number INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    name_zh VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    line JSON NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE settings (
    "key" VARCHAR(64) NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE accounts (
    name VARCHAR(64) NOT NULL,
    role VARCHAR(16) NOT NULL,
    password TEXT NOT NULL,
    created BIGINT NOT NULL,
    disabled BOOLEAN NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE cases (
    id VARCHAR(64) NOT NULL,
    purpose TEXT NOT NULL,
    legal_basis TEXT NOT NULL,
    owner VARCHAR(64) NOT NULL,
    units JSON NOT NULL,
    opened BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    closed BIGINT,
    PRIMARY KEY (id)
);
CREATE TABLE searches (
    id VARCHAR(32) NOT NULL,
    account VARCHAR(64) NOT NULL,
    "case" VARCHAR(64) NOT NULL,
    created BIGINT NOT NULL,
    audit INTEGER NOT NULL,
    record JSON NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE audit (
    number INTEGER NOT NULL,
    time BIGINT NOT NULL,
    account VARCHAR(64) NOT NULL,
    action VARCHAR(32) NOT NULL,
    "case" VARCHAR(64),
    units JSON NOT NULL,
    details JSON NOT NULL,
    previous VARCHAR(64) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE cameras (
    id VARCHAR(64) NOT NULL,
    number INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    name_zh VARCHAR NOT NULL,
    unit VARCHAR(64) NOT NULL,
    lon DOUBLE NOT NULL,
    lat DOUBLE NOT NULL,
    heading DOUBLE NOT NULL,
    field_of_view DOUBLE NOT NULL,
    height DOUBLE NOT NULL,
    range DOUBLE NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (number),
    FOREIGN KEY(unit) REFERENCES units (code)
);
CREATE TABLE grants (
    account VARCHAR(64) NOT NULL,
    unit VARCHAR(32) NOT NULL,
    PRIMARY KEY (account, unit),
    FOREIGN KEY(account) REFERENCES accounts (name)
);
CREATE TABLE sessions (
    digest VARCHAR(64) NOT NULL,
    account VARCHAR(64) NOT NULL,
    created BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (digest),
    FOREIGN KEY(account) REFERENCES accounts (name)
);
CREATE TABLE approvals (
    id INTEGER NOT NULL,
    "case" VARCHAR(64) NOT NULL,
    account VARCHAR(64) NOT NULL,
    units JSON NOT NULL,
    start BIGINT,
    "end" BIGINT,
    reason TEXT NOT NULL,
    asked BIGINT NOT NULL,
    status VARCHAR(16) NOT NULL,
    decided_by VARCHAR(64),
    decided BIGINT,
    until BIGINT,
    PRIMARY KEY (id),
    FOREIGN KEY("case") REFERENCES cases (id)
);
CREATE TRIGGER audit_no_update BEFORE update ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE delete ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
