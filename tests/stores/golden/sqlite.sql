CREATE TABLE chatnb_schema (major BIGINT, minor BIGINT, step TEXT);

INSERT INTO chatnb_schema VALUES (1, 0, '1.0 first tables');

CREATE TABLE IF NOT EXISTS sessions (id TEXT, user_id TEXT, project TEXT, collection TEXT, name TEXT, model TEXT, agent TEXT, system_prompt TEXT, max_history_messages INTEGER, max_history_tokens INTEGER, branch_id TEXT, forked_from TEXT, metadata TEXT, tags TEXT, is_active INTEGER, revision INTEGER, message_count INTEGER, created_at TEXT, updated_at TEXT, last_message_at TEXT, expires_at TEXT);

CREATE INDEX IF NOT EXISTS idx_sessions_user_id_collection_id ON sessions (user_id, collection, id);

CREATE INDEX IF NOT EXISTS idx_sessions_user_id_name ON sessions (user_id, name);

CREATE INDEX IF NOT EXISTS idx_sessions_last_message_at ON sessions (last_message_at);

CREATE TABLE IF NOT EXISTS branches (id TEXT, session_id TEXT, user_id TEXT, collection TEXT, parent_branch_id TEXT, parent_seq INTEGER, kind TEXT, last_seq INTEGER, turn_count INTEGER, window_seq INTEGER, created_at TEXT);

CREATE INDEX IF NOT EXISTS idx_branches_id ON branches (id);

CREATE INDEX IF NOT EXISTS idx_branches_user_id_collection_session_id ON branches (user_id, collection, session_id);

CREATE INDEX IF NOT EXISTS idx_branches_parent_branch_id ON branches (parent_branch_id);

CREATE TABLE IF NOT EXISTS messages (id TEXT, session_id TEXT, branch_id TEXT, seq INTEGER, turn_id TEXT, position INTEGER, role TEXT, content TEXT, payload TEXT, format TEXT, origin TEXT, metadata TEXT, model TEXT, provider TEXT, input_tokens INTEGER, output_tokens INTEGER, cost REAL, created_at TEXT);

CREATE INDEX IF NOT EXISTS idx_messages_branch_id_seq ON messages (branch_id, seq);

CREATE INDEX IF NOT EXISTS idx_messages_turn_id ON messages (turn_id);

CREATE TABLE IF NOT EXISTS turns (id TEXT, session_id TEXT, branch_id TEXT, user_id TEXT, collection TEXT, status TEXT, prompt TEXT, answer TEXT, output TEXT, agent TEXT, model TEXT, provider TEXT, options TEXT, requests INTEGER, tool_calls INTEGER, input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER, cost REAL, currency TEXT, sent_messages INTEGER, sent_tokens INTEGER, started_at TEXT, first_token_ms REAL, duration_ms REAL, error TEXT, notebook TEXT, cell_id TEXT, cell_source TEXT, execution_count INTEGER, host TEXT, metadata TEXT);

CREATE INDEX IF NOT EXISTS idx_turns_id ON turns (id);

CREATE INDEX IF NOT EXISTS idx_turns_session_id ON turns (session_id);

CREATE INDEX IF NOT EXISTS idx_turns_started_at ON turns (started_at);

CREATE TABLE IF NOT EXISTS tool_calls (turn_id TEXT, call_id TEXT, tool TEXT, arguments TEXT, result TEXT, error TEXT, started_at TEXT, duration_ms REAL);

CREATE INDEX IF NOT EXISTS idx_tool_calls_turn_id ON tool_calls (turn_id);

CREATE TABLE IF NOT EXISTS files (sha256 TEXT, media_type TEXT, size INTEGER, data BLOB);

CREATE INDEX IF NOT EXISTS idx_files_sha256 ON files (sha256);

CREATE TABLE IF NOT EXISTS lineage (session_id TEXT, user_id TEXT, collection TEXT, branch_id TEXT, first_seq INTEGER, upto_seq INTEGER);

CREATE INDEX IF NOT EXISTS idx_lineage_user_id_collection_session_id ON lineage (user_id, collection, session_id);

CREATE TABLE IF NOT EXISTS in_flight (turn_id TEXT, position INTEGER, record TEXT, owner TEXT, written_at TEXT);

CREATE INDEX IF NOT EXISTS idx_in_flight_turn_id_position ON in_flight (turn_id, position);

CREATE VIEW history AS SELECT sessions.name AS session_name, messages.id, sessions.id AS session_id, messages.branch_id, messages.seq, messages.turn_id, messages.position, messages.role, messages.content, messages.payload, messages.format, messages.origin, messages.metadata, messages.model, messages.provider, messages.input_tokens, messages.output_tokens, messages.cost, messages.created_at FROM sessions JOIN lineage ON lineage.user_id = sessions.user_id  AND lineage.collection = sessions.collection AND lineage.session_id = sessions.id JOIN messages ON messages.branch_id = lineage.branch_id  AND messages.seq >= lineage.first_seq AND (lineage.upto_seq IS NULL OR messages.seq <= lineage.upto_seq) WHERE sessions.is_active;

CREATE VIEW usage_daily AS SELECT substr(turns.started_at, 1, 10) AS day, turns.user_id, sessions.project, turns.model,  count(*) AS turns, CAST(sum(turns.input_tokens) AS BIGINT) AS input_tokens,  CAST(sum(turns.output_tokens) AS BIGINT) AS output_tokens,  sum(coalesce(turns.cost, 0.0)) AS cost FROM turns LEFT JOIN sessions ON sessions.user_id = turns.user_id  AND sessions.collection = turns.collection AND sessions.id = turns.session_id GROUP BY substr(turns.started_at, 1, 10), turns.user_id, sessions.project, turns.model;

INSERT INTO sessions VALUES ('0190', 'ann', '/p', '', 'golden', NULL, NULL, NULL, NULL, NULL, '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', NULL, '{"k":["ü"]}', '["x"]', TRUE, 4, 4, '2026-11-21T00:25:28.816229+00:00', '2026-11-21T00:25:28.998887+00:00', '2026-11-21T00:25:28.998881+00:00', NULL);

INSERT INTO branches VALUES ('01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', '0190', 'ann', '', NULL, 0, 'start', 4, 2, 0, '2026-11-21T00:25:28.816229+00:00');

INSERT INTO branches VALUES ('01a1fb7e-6c8a-704d-b74c-2c7889ab302b', '0190', 'ann', '', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 2, 'edit', 4, 2, 0, '2026-11-21T00:25:28.970940+00:00');

INSERT INTO messages VALUES ('01a1fb7e-6c56-7714-b813-04a6b8f39f72', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 1, '01a1fb7e-6c02-77a7-ad63-f5f23e51af56', 0, 'user', 'What is the mean of Zoë''s values?', '{"parts":[{"content":"What is the mean of Zoë''s values?","timestamp":"2026-11-21T00:25:28.834416Z","part_kind":"user-prompt"}],"timestamp":null,"instructions":null,"kind":"request","run_id":null,"conversation_id":null,"metadata":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.834416+00:00');

INSERT INTO messages VALUES ('01a1fb7e-6c56-7714-b813-04a753eda794', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 2, '01a1fb7e-6c02-77a7-ad63-f5f23e51af56', 1, 'assistant', '3.5', '{"parts":[{"content":"3.5","id":null,"provider_name":null,"provider_details":null,"citations":null,"part_kind":"text"}],"usage":{"input_tokens":0,"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0,"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"details":{},"cost":null},"model_name":null,"model_id":null,"timestamp":"2026-11-21T00:25:28.834445Z","kind":"response","provider_name":null,"provider_url":null,"canonical_system":null,"provider_details":null,"provider_response_id":null,"finish_reason":null,"run_id":null,"conversation_id":null,"metadata":null,"workspace_ref":null,"history_digest":null,"failed_attempts":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.834445+00:00');

INSERT INTO messages VALUES ('01a1fb7e-6c72-71ff-ac8b-e907936d7c14', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 3, '01a1fb7e-6c72-71ff-ac8b-e906d5afd9df', 0, 'user', 'left', '{"parts":[{"content":"left","timestamp":"2026-11-21T00:25:28.946235Z","part_kind":"user-prompt"}],"timestamp":null,"instructions":null,"kind":"request","run_id":null,"conversation_id":null,"metadata":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.946235+00:00');

INSERT INTO messages VALUES ('01a1fb7e-6c72-71ff-ac8b-e90840ff9bb0', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 4, '01a1fb7e-6c72-71ff-ac8b-e906d5afd9df', 1, 'assistant', 'behind', '{"parts":[{"content":"behind","id":null,"provider_name":null,"provider_details":null,"citations":null,"part_kind":"text"}],"usage":{"input_tokens":0,"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0,"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"details":{},"cost":null},"model_name":null,"model_id":null,"timestamp":"2026-11-21T00:25:28.946258Z","kind":"response","provider_name":null,"provider_url":null,"canonical_system":null,"provider_details":null,"provider_response_id":null,"finish_reason":null,"run_id":null,"conversation_id":null,"metadata":null,"workspace_ref":null,"history_digest":null,"failed_attempts":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.946258+00:00');

INSERT INTO messages VALUES ('01a1fb7e-6c96-7661-9aac-b450f17bf26c', '0190', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 3, '01a1fb7e-6c96-7661-9aac-b44f188cf5fe', 0, 'user', 'And the sum?', '{"parts":[{"content":"And the sum?","timestamp":"2026-11-21T00:25:28.982427Z","part_kind":"user-prompt"}],"timestamp":null,"instructions":null,"kind":"request","run_id":null,"conversation_id":null,"metadata":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.982427+00:00');

INSERT INTO messages VALUES ('01a1fb7e-6c96-7661-9aac-b451c3a81fbd', '0190', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 4, '01a1fb7e-6c96-7661-9aac-b44f188cf5fe', 1, 'assistant', '7', '{"parts":[{"content":"7","id":null,"provider_name":null,"provider_details":null,"citations":null,"part_kind":"text"}],"usage":{"input_tokens":0,"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0,"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"details":{},"cost":null},"model_name":null,"model_id":null,"timestamp":"2026-11-21T00:25:28.982452Z","kind":"response","provider_name":null,"provider_url":null,"canonical_system":null,"provider_details":null,"provider_response_id":null,"finish_reason":null,"run_id":null,"conversation_id":null,"metadata":null,"workspace_ref":null,"history_digest":null,"failed_attempts":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.982452+00:00');

INSERT INTO turns VALUES ('01a1fb7e-6c02-77a7-ad63-f5f23e51af56', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 'ann', '', 'ok', 'What is the mean of Zoë''s values?', '3.5', '"3.5"', NULL, 'demo', NULL, '{}', 0, 0, 0, 0, 0, 0, 0.25, 'USD', 0, 0, '2026-11-21T00:25:28.834395+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'vm:17561', '{}');

INSERT INTO turns VALUES ('01a1fb7e-6c72-71ff-ac8b-e906d5afd9df', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 'ann', '', 'ok', 'left', 'behind', '"behind"', NULL, NULL, NULL, '{}', 0, 0, 0, 0, 0, 0, NULL, 'USD', 0, 0, '2026-11-21T00:25:28.946218+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'vm:17561', '{}');

INSERT INTO turns VALUES ('01a1fb7e-6c96-7661-9aac-b44f188cf5fe', '0190', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 'ann', '', 'ok', 'And the sum?', '7', '"7"', NULL, NULL, NULL, '{}', 0, 0, 0, 0, 0, 0, NULL, 'USD', 0, 0, '2026-11-21T00:25:28.982407+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'vm:17561', '{}');

INSERT INTO tool_calls VALUES ('01a1fb7e-6c02-77a7-ad63-f5f23e51af56', 'c1', 'mean', '{"a":[3,4]}', '3.5', NULL, '2026-11-21T00:25:28.834354+00:00', NULL);

INSERT INTO lineage VALUES ('0190', 'ann', '', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 1, 2);

INSERT INTO lineage VALUES ('0190', 'ann', '', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 3, NULL);
