-- How asynchronous invocations are tried again and what follows from them: JSON; {} is the default.
ALTER TABLE functions ADD COLUMN async_json text NOT NULL DEFAULT '{}';
ALTER TABLE function_versions ADD COLUMN async_json text NOT NULL DEFAULT '{}';
