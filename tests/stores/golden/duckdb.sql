CREATE TABLE chatnb_schema (major BIGINT, minor BIGINT, step TEXT);

INSERT INTO chatnb_schema VALUES (1, 0, '1.0 first tables');

CREATE TABLE IF NOT EXISTS sessions (id VARCHAR, user_id VARCHAR, project VARCHAR, collection VARCHAR, name VARCHAR, model VARCHAR, agent VARCHAR, system_prompt VARCHAR, max_history_messages BIGINT, max_history_tokens BIGINT, branch_id VARCHAR, forked_from VARCHAR, metadata JSON, tags JSON, is_active BOOLEAN, revision BIGINT, message_count BIGINT, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, last_message_at TIMESTAMPTZ, expires_at TIMESTAMPTZ);

CREATE TABLE IF NOT EXISTS branches (id VARCHAR, session_id VARCHAR, user_id VARCHAR, collection VARCHAR, parent_branch_id VARCHAR, parent_seq BIGINT, kind VARCHAR, last_seq BIGINT, turn_count BIGINT, window_seq BIGINT, created_at TIMESTAMPTZ);

CREATE TABLE IF NOT EXISTS messages_base (id VARCHAR, session_id VARCHAR, branch_id VARCHAR, seq BIGINT, turn_id VARCHAR, position BIGINT, role VARCHAR, content VARCHAR, payload VARCHAR, format VARCHAR, origin VARCHAR, metadata JSON, model VARCHAR, provider VARCHAR, input_tokens BIGINT, output_tokens BIGINT, cost DOUBLE, created_at TIMESTAMPTZ);

CREATE TABLE IF NOT EXISTS messages_recent (id VARCHAR, session_id VARCHAR, branch_id VARCHAR, seq BIGINT, turn_id VARCHAR, position BIGINT, role VARCHAR, content VARCHAR, payload VARCHAR, format VARCHAR, origin VARCHAR, metadata JSON, model VARCHAR, provider VARCHAR, input_tokens BIGINT, output_tokens BIGINT, cost DOUBLE, created_at TIMESTAMPTZ);

CREATE VIEW messages AS SELECT * FROM messages_base UNION ALL SELECT * FROM messages_recent;

CREATE TABLE IF NOT EXISTS turns_base (id VARCHAR, session_id VARCHAR, branch_id VARCHAR, user_id VARCHAR, collection VARCHAR, status VARCHAR, prompt VARCHAR, answer VARCHAR, output JSON, agent VARCHAR, model VARCHAR, provider VARCHAR, options JSON, requests BIGINT, tool_calls BIGINT, input_tokens BIGINT, output_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT, cost DOUBLE, currency VARCHAR, sent_messages BIGINT, sent_tokens BIGINT, started_at TIMESTAMPTZ, first_token_ms DOUBLE, duration_ms DOUBLE, error VARCHAR, notebook VARCHAR, cell_id VARCHAR, cell_source VARCHAR, execution_count BIGINT, host VARCHAR, metadata JSON);

CREATE TABLE IF NOT EXISTS turns_recent (id VARCHAR, session_id VARCHAR, branch_id VARCHAR, user_id VARCHAR, collection VARCHAR, status VARCHAR, prompt VARCHAR, answer VARCHAR, output JSON, agent VARCHAR, model VARCHAR, provider VARCHAR, options JSON, requests BIGINT, tool_calls BIGINT, input_tokens BIGINT, output_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT, cost DOUBLE, currency VARCHAR, sent_messages BIGINT, sent_tokens BIGINT, started_at TIMESTAMPTZ, first_token_ms DOUBLE, duration_ms DOUBLE, error VARCHAR, notebook VARCHAR, cell_id VARCHAR, cell_source VARCHAR, execution_count BIGINT, host VARCHAR, metadata JSON);

CREATE VIEW turns AS SELECT * FROM turns_base UNION ALL SELECT * FROM turns_recent;

CREATE TABLE IF NOT EXISTS tool_calls_base (turn_id VARCHAR, call_id VARCHAR, tool VARCHAR, arguments JSON, result VARCHAR, error VARCHAR, started_at TIMESTAMPTZ, duration_ms DOUBLE);

CREATE TABLE IF NOT EXISTS tool_calls_recent (turn_id VARCHAR, call_id VARCHAR, tool VARCHAR, arguments JSON, result VARCHAR, error VARCHAR, started_at TIMESTAMPTZ, duration_ms DOUBLE);

CREATE VIEW tool_calls AS SELECT * FROM tool_calls_base UNION ALL SELECT * FROM tool_calls_recent;

CREATE TABLE IF NOT EXISTS files (sha256 VARCHAR, media_type VARCHAR, size BIGINT, data BLOB);

CREATE TABLE IF NOT EXISTS lineage (session_id VARCHAR, user_id VARCHAR, collection VARCHAR, branch_id VARCHAR, first_seq BIGINT, upto_seq BIGINT);

CREATE TABLE IF NOT EXISTS in_flight (turn_id VARCHAR, position BIGINT, record VARCHAR, owner VARCHAR, written_at TIMESTAMPTZ);

CREATE VIEW history AS SELECT sessions.name AS session_name, messages.id, sessions.id AS session_id, messages.branch_id, messages.seq, messages.turn_id, messages.position, messages.role, messages.content, messages.payload, messages.format, messages.origin, messages.metadata, messages.model, messages.provider, messages.input_tokens, messages.output_tokens, messages.cost, messages.created_at FROM sessions JOIN lineage ON lineage.user_id = sessions.user_id  AND lineage.collection = sessions.collection AND lineage.session_id = sessions.id JOIN messages ON messages.branch_id = lineage.branch_id  AND messages.seq >= lineage.first_seq AND (lineage.upto_seq IS NULL OR messages.seq <= lineage.upto_seq) WHERE sessions.is_active;

CREATE VIEW usage_daily AS SELECT CAST(turns.started_at AT TIME ZONE 'UTC' AS DATE) AS day, turns.user_id, sessions.project, turns.model,  count(*) AS turns, CAST(sum(turns.input_tokens) AS BIGINT) AS input_tokens,  CAST(sum(turns.output_tokens) AS BIGINT) AS output_tokens,  sum(coalesce(turns.cost, 0.0)) AS cost FROM turns LEFT JOIN sessions ON sessions.user_id = turns.user_id  AND sessions.collection = turns.collection AND sessions.id = turns.session_id GROUP BY CAST(turns.started_at AT TIME ZONE 'UTC' AS DATE), turns.user_id, sessions.project, turns.model;

INSERT INTO sessions VALUES ('0190', 'ann', '/p', '', 'golden', NULL, NULL, NULL, NULL, NULL, '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', NULL, '{"k":["ü"]}', '["x"]', TRUE, 4, 4, '2026-11-21T00:25:28.816229+00:00', '2026-11-21T00:25:28.998887+00:00', '2026-11-21T00:25:28.998881+00:00', NULL);

INSERT INTO branches VALUES ('01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', '0190', 'ann', '', NULL, 0, 'start', 4, 2, 0, '2026-11-21T00:25:28.816229+00:00');

INSERT INTO branches VALUES ('01a1fb7e-6c8a-704d-b74c-2c7889ab302b', '0190', 'ann', '', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 2, 'edit', 4, 2, 0, '2026-11-21T00:25:28.970940+00:00');

INSERT INTO messages_base VALUES ('01a1fb7e-6c56-7714-b813-04a6b8f39f72', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 1, '01a1fb7e-6c02-77a7-ad63-f5f23e51af56', 0, 'user', 'What is the mean of Zoë''s values?', '{"parts":[{"content":"What is the mean of Zoë''s values?","timestamp":"2026-11-21T00:25:28.834416Z","part_kind":"user-prompt"}],"timestamp":null,"instructions":null,"kind":"request","run_id":null,"conversation_id":null,"metadata":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.834416+00:00');

INSERT INTO messages_base VALUES ('01a1fb7e-6c56-7714-b813-04a753eda794', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 2, '01a1fb7e-6c02-77a7-ad63-f5f23e51af56', 1, 'assistant', '3.5', '{"parts":[{"content":"3.5","id":null,"provider_name":null,"provider_details":null,"citations":null,"part_kind":"text"}],"usage":{"input_tokens":0,"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0,"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"details":{},"cost":null},"model_name":null,"model_id":null,"timestamp":"2026-11-21T00:25:28.834445Z","kind":"response","provider_name":null,"provider_url":null,"canonical_system":null,"provider_details":null,"provider_response_id":null,"finish_reason":null,"run_id":null,"conversation_id":null,"metadata":null,"workspace_ref":null,"history_digest":null,"failed_attempts":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.834445+00:00');

INSERT INTO messages_base VALUES ('01a1fb7e-6c72-71ff-ac8b-e907936d7c14', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 3, '01a1fb7e-6c72-71ff-ac8b-e906d5afd9df', 0, 'user', 'left', '{"parts":[{"content":"left","timestamp":"2026-11-21T00:25:28.946235Z","part_kind":"user-prompt"}],"timestamp":null,"instructions":null,"kind":"request","run_id":null,"conversation_id":null,"metadata":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.946235+00:00');

INSERT INTO messages_base VALUES ('01a1fb7e-6c72-71ff-ac8b-e90840ff9bb0', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 4, '01a1fb7e-6c72-71ff-ac8b-e906d5afd9df', 1, 'assistant', 'behind', '{"parts":[{"content":"behind","id":null,"provider_name":null,"provider_details":null,"citations":null,"part_kind":"text"}],"usage":{"input_tokens":0,"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0,"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"details":{},"cost":null},"model_name":null,"model_id":null,"timestamp":"2026-11-21T00:25:28.946258Z","kind":"response","provider_name":null,"provider_url":null,"canonical_system":null,"provider_details":null,"provider_response_id":null,"finish_reason":null,"run_id":null,"conversation_id":null,"metadata":null,"workspace_ref":null,"history_digest":null,"failed_attempts":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.946258+00:00');

INSERT INTO messages_base VALUES ('01a1fb7e-6c96-7661-9aac-b450f17bf26c', '0190', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 3, '01a1fb7e-6c96-7661-9aac-b44f188cf5fe', 0, 'user', 'And the sum?', '{"parts":[{"content":"And the sum?","timestamp":"2026-11-21T00:25:28.982427Z","part_kind":"user-prompt"}],"timestamp":null,"instructions":null,"kind":"request","run_id":null,"conversation_id":null,"metadata":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.982427+00:00');

INSERT INTO messages_base VALUES ('01a1fb7e-6c96-7661-9aac-b451c3a81fbd', '0190', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 4, '01a1fb7e-6c96-7661-9aac-b44f188cf5fe', 1, 'assistant', '7', '{"parts":[{"content":"7","id":null,"provider_name":null,"provider_details":null,"citations":null,"part_kind":"text"}],"usage":{"input_tokens":0,"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0,"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"details":{},"cost":null},"model_name":null,"model_id":null,"timestamp":"2026-11-21T00:25:28.982452Z","kind":"response","provider_name":null,"provider_url":null,"canonical_system":null,"provider_details":null,"provider_response_id":null,"finish_reason":null,"run_id":null,"conversation_id":null,"metadata":null,"workspace_ref":null,"history_digest":null,"failed_attempts":null,"state":"complete"}', 'pydantic-ai/2', 'pydantic-ai', '{}', NULL, NULL, NULL, NULL, NULL, '2026-11-21T00:25:28.982452+00:00');

INSERT INTO turns_base VALUES ('01a1fb7e-6c02-77a7-ad63-f5f23e51af56', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 'ann', '', 'ok', 'What is the mean of Zoë''s values?', '3.5', '"3.5"', NULL, 'demo', NULL, '{}', 0, 0, 0, 0, 0, 0, 0.25, 'USD', 0, 0, '2026-11-21T00:25:28.834395+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'vm:17561', '{}');

INSERT INTO turns_base VALUES ('01a1fb7e-6c72-71ff-ac8b-e906d5afd9df', '0190', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 'ann', '', 'ok', 'left', 'behind', '"behind"', NULL, NULL, NULL, '{}', 0, 0, 0, 0, 0, 0, NULL, 'USD', 0, 0, '2026-11-21T00:25:28.946218+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'vm:17561', '{}');

INSERT INTO turns_base VALUES ('01a1fb7e-6c96-7661-9aac-b44f188cf5fe', '0190', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 'ann', '', 'ok', 'And the sum?', '7', '"7"', NULL, NULL, NULL, '{}', 0, 0, 0, 0, 0, 0, NULL, 'USD', 0, 0, '2026-11-21T00:25:28.982407+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'vm:17561', '{}');

INSERT INTO tool_calls_base VALUES ('01a1fb7e-6c02-77a7-ad63-f5f23e51af56', 'c1', 'mean', '{"a":[3,4]}', '3.5', NULL, '2026-11-21T00:25:28.834354+00:00', NULL);

INSERT INTO lineage VALUES ('0190', 'ann', '', '01a1fb7e-6bf0-72a4-867c-82ce1dcc981f', 1, 2);

INSERT INTO lineage VALUES ('0190', 'ann', '', '01a1fb7e-6c8a-704d-b74c-2c7889ab302b', 3, NULL);
