"""The statements that make a gallery's tables, and bring those of older galleries up to date."""

LATEST_TIME = 253_402_300_800
"""Seconds since the epoch at which the year 10000 begins: no time in a gallery is as late, so each has a date."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        """CREATE TABLE identities (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE,
            created REAL NOT NULL,
            updated REAL NOT NULL
        )""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            identity_id TEXT NOT NULL REFERENCES identities (id),
            kind TEXT NOT NULL CHECK (kind IN ('enrolled', 'observed')),
            embedding BLOB NOT NULL,
            quality REAL NOT NULL,
            source TEXT NOT NULL,
            created REAL NOT NULL
        )""",
        "CREATE INDEX templates_by_identity ON templates (identity_id, id)",
        """CREATE TABLE journal (
            revision INTEGER PRIMARY KEY,
            operation TEXT NOT NULL,
            detail TEXT NOT NULL,
            time REAL NOT NULL
        )""",
    ),
    (
        # Since this schema what tells who somebody is passes through the gallery's seal, which makes bytes of it:
        # names, consents, embeddings, sources, details and pictures are BLOBs, whatever type a column was given.
        "UPDATE identities SET name = CAST(name AS BLOB)",
        "UPDATE templates SET source = CAST(source AS BLOB)",
        "ALTER TABLE identities ADD COLUMN remembered INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE identities ADD COLUMN consent BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE identities ADD COLUMN expires REAL",
        # `changed` is the revision of a person's latest change, `gone` holds those who were removed, and when: together
        # they answer what has changed since a revision without reading anything else.
        "ALTER TABLE identities ADD COLUMN changed INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX identities_by_expiry ON identities (expires) WHERE expires IS NOT NULL",
        "CREATE INDEX identities_by_change ON identities (changed)",
        "CREATE TABLE gone (identity_id TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX gone_by_revision ON gone (revision)",
        # With the kind in the index a person's templates are counted without reading them.
        "DROP INDEX templates_by_identity",
        "CREATE INDEX templates_by_identity ON templates (identity_id, id, kind)",
        """CREATE TABLE crops (
            template_id INTEGER PRIMARY KEY REFERENCES templates (id) ON DELETE CASCADE,
            picture BLOB NOT NULL
        )""",
        # What it takes to undo: the former state of everybody concerned, the templates to remove, those to move back.
        """UPDATE journal SET detail = json_object(
            'former', json_object(json_extract(detail, '$.identities[0]'),
                json(CASE WHEN json_extract(detail, '$.created') THEN 'null' ELSE '{}' END)),
            'added', json_extract(detail, '$.templates'))
            WHERE operation = 'enroll'""",
        """UPDATE journal SET detail = json_object(
            'former', json_object(json_extract(detail, '$.identities[0]'),
                json_object('name', json_extract(detail, '$.old_name'))))
            WHERE operation = 'rename'""",
        """UPDATE journal SET detail = json_object(
            'former', json_object(json_extract(detail, '$.identities[0]'), json('{}'),
                json_extract(detail, '$.identities[1]'), json_object('name', json_extract(detail, '$.name'),
                'created', json_extract(detail, '$.created'), 'remembered', json('false'), 'consent', '',
                'expires', NULL)),
            'moved', json_object(json_extract(detail, '$.identities[1]'), json_extract(detail, '$.templates')))
            WHERE operation = 'merge'""",
        "UPDATE journal SET detail = '{}' WHERE operation NOT IN ('enroll', 'rename', 'merge')",
        "UPDATE journal SET detail = CAST(detail AS BLOB)",
    ),
)
"""Entry i brings a file from schema i to schema i + 1; `PRAGMA user_version` holds the schema. Only ever append."""
