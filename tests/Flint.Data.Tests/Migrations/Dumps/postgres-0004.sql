-- A database as the fourth schema left it, with data. Upgraded by a test; never changed.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.aliases (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    function_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    version_number integer NOT NULL,
    description text NOT NULL,
    revision_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.code_blob_data (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    sha256 text NOT NULL COLLATE pg_catalog."C",
    content bytea NOT NULL
);
ALTER TABLE ONLY public.code_blob_data ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE TABLE public.code_blobs (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    sha256 text NOT NULL COLLATE pg_catalog."C",
    size_bytes bigint NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.function_versions (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    function_id text NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    runtime text NOT NULL,
    handler text NOT NULL,
    description text NOT NULL,
    memory_mb integer NOT NULL,
    timeout_ms integer NOT NULL,
    tmp_mb integer NOT NULL,
    environment_json text NOT NULL,
    freshness text NOT NULL,
    engine text NOT NULL,
    on_disconnect text NOT NULL,
    history text NOT NULL,
    code_sha256 text NOT NULL COLLATE pg_catalog."C",
    code_size_bytes bigint NOT NULL,
    revision_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    start text DEFAULT 'zygote'::text NOT NULL,
    network text DEFAULT 'none'::text NOT NULL
);
CREATE TABLE public.functions (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    runtime text NOT NULL,
    handler text NOT NULL,
    description text NOT NULL,
    memory_mb integer NOT NULL,
    timeout_ms integer NOT NULL,
    tmp_mb integer NOT NULL,
    environment_json text NOT NULL,
    freshness text NOT NULL,
    engine text NOT NULL,
    on_disconnect text NOT NULL,
    history text NOT NULL,
    code_sha256 text NOT NULL COLLATE pg_catalog."C",
    code_size_bytes bigint NOT NULL,
    revision_id text NOT NULL,
    last_version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    start text DEFAULT 'zygote'::text NOT NULL,
    network text DEFAULT 'none'::text NOT NULL
);
CREATE TABLE public.invocation_data (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    id uuid NOT NULL,
    error text,
    log_dropped_lines bigint NOT NULL,
    log_dropped_bytes bigint NOT NULL,
    payload bytea,
    result bytea,
    log bytea
);
CREATE TABLE public.invocation_totals (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    data_bytes bigint NOT NULL
)
WITH (fillfactor='10');
CREATE TABLE public.invocations (
    tenant_id text NOT NULL COLLATE pg_catalog."C",
    id uuid NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    mode text NOT NULL,
    function_id text COLLATE pg_catalog."C",
    function_name text COLLATE pg_catalog."C",
    version text,
    qualifier text,
    error_type text,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    completed_at timestamp with time zone,
    duration_ms double precision,
    init_duration_ms double precision,
    billed_ms bigint,
    memory_mb integer NOT NULL,
    peak_memory_bytes bigint,
    cold_start boolean,
    engine text,
    sandbox_id text,
    unenforced text,
    data_bytes bigint DEFAULT 0 NOT NULL,
    start_mode text,
    start_reason text,
    CONSTRAINT invocations_status_check CHECK ((status = ANY (ARRAY['PENDING'::text, 'RUNNING'::text, 'COMPLETED'::text, 'FAILED'::text, 'CANCELLED'::text])))
);
CREATE TABLE public.schema_version (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone NOT NULL
);
INSERT INTO public.aliases VALUES ('default', '019ca8f4-0000-7000-8000-00000000000a', 'live', 2, '', 'a1', '2026-03-01 12:00:00+00', '2026-03-01 12:00:00+00');
INSERT INTO public.aliases VALUES ('other', '019ca8f4-0000-7000-8000-00000000000a', 'live', 2, '', 'a1', '2026-03-01 12:00:00+00', '2026-03-01 12:00:00+00');
INSERT INTO public.code_blob_data VALUES ('default', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '\x504b');
INSERT INTO public.code_blobs VALUES ('default', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, '2026-03-01 12:00:00+00');
INSERT INTO public.code_blobs VALUES ('other', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, '2026-03-01 12:00:00+00');
INSERT INTO public.function_versions VALUES ('default', '019ca8f4-0000-7000-8000-00000000000a', 1, 'python3.11', 'main.handler', '', 128, 3000, 512, '{}', 'warm', 'native', 'continue', 'buffered', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, 'v1', '2026-03-01 12:00:00+00', 'zygote', 'none');
INSERT INTO public.function_versions VALUES ('default', '019ca8f4-0000-7000-8000-00000000000a', 2, 'python3.11', 'main.handler', '', 128, 3000, 512, '{}', 'warm', 'native', 'continue', 'buffered', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, 'v2', '2026-03-01 12:00:00+00', 'zygote', 'none');
INSERT INTO public.function_versions VALUES ('other', '019ca8f4-0000-7000-8000-00000000000a', 1, 'python3.11', 'main.handler', '', 128, 3000, 512, '{}', 'warm', 'native', 'continue', 'buffered', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, 'v1', '2026-03-01 12:00:00+00', 'zygote', 'none');
INSERT INTO public.function_versions VALUES ('other', '019ca8f4-0000-7000-8000-00000000000a', 2, 'python3.11', 'main.handler', '', 128, 3000, 512, '{}', 'warm', 'native', 'continue', 'buffered', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, 'v2', '2026-03-01 12:00:00+00', 'zygote', 'none');
INSERT INTO public.functions VALUES ('default', '019ca8f4-0000-7000-8000-00000000000a', 'hello', 'python3.11', 'main.handler', 'it''s é', 128, 3000, 512, '{"A":"1"}', 'warm', 'native', 'continue', 'buffered', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, 'r1', 2, '2026-03-01 12:00:00+00', '2026-03-01 12:00:00.001+00', 'zygote', 'none');
INSERT INTO public.functions VALUES ('other', '019ca8f4-0000-7000-8000-00000000000a', 'hello', 'python3.11', 'main.handler', 'it''s é', 128, 3000, 512, '{"A":"1"}', 'warm', 'native', 'continue', 'buffered', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 10, 'r1', 2, '2026-03-01 12:00:00+00', '2026-03-01 12:00:00.001+00', 'zygote', 'none');
INSERT INTO public.invocation_data VALUES ('default', '019ca945-0a00-7000-8000-000000000000', NULL, 0, 0, '\x7b7d', '\x74727565', NULL);
INSERT INTO public.invocation_data VALUES ('default', '019ca945-0a01-7000-8000-000000000001', '{}', 0, 0, '\x7b7d', '\x74727565', NULL);
INSERT INTO public.invocation_data VALUES ('default', '019ca945-0a02-7000-8000-000000000002', NULL, 0, 0, '\x7b7d', '\x74727565', NULL);
INSERT INTO public.invocation_data VALUES ('default', '019ca945-0a03-7000-8000-000000000003', NULL, 0, 0, '\x7b7d', '\x74727565', NULL);
INSERT INTO public.invocation_totals VALUES ('default', 26);
INSERT INTO public.invocations VALUES ('default', '019ca945-0a00-7000-8000-000000000000', 'COMPLETED', 'sync', '019ca8f4-0000-7000-8000-00000000000a', 'hello', '$LATEST', NULL, NULL, '2026-03-01 12:00:00+00', '2026-03-01 12:00:00+00', '2026-03-01 12:00:00.005+00', 5.5, NULL, 6, 128, 1000, true, 'native', 's-1', NULL, 6, NULL, NULL);
INSERT INTO public.invocations VALUES ('default', '019ca945-0a01-7000-8000-000000000001', 'FAILED', 'sync', '019ca8f4-0000-7000-8000-00000000000a', 'hello', '$LATEST', NULL, 'Unhandled', '2026-03-01 12:00:00.001+00', '2026-03-01 12:00:00.001+00', '2026-03-01 12:00:00.006+00', 5.5, NULL, 6, 128, 1000, false, 'native', 's-1', NULL, 8, NULL, NULL);
INSERT INTO public.invocations VALUES ('default', '019ca945-0a02-7000-8000-000000000002', 'COMPLETED', 'sync', '019ca8f4-0000-7000-8000-00000000000a', 'hello', '$LATEST', NULL, NULL, '2026-03-01 12:00:00.002+00', '2026-03-01 12:00:00.002+00', '2026-03-01 12:00:00.007+00', 5.5, NULL, 6, 128, 1000, false, 'native', 's-1', NULL, 6, NULL, NULL);
INSERT INTO public.invocations VALUES ('default', '019ca945-0a03-7000-8000-000000000003', 'COMPLETED', 'sync', '019ca8f4-0000-7000-8000-00000000000a', 'hello', '$LATEST', NULL, NULL, '2026-03-01 12:00:00.003+00', '2026-03-01 12:00:00.003+00', '2026-03-01 12:00:00.008+00', 5.5, NULL, 6, 128, 1000, false, 'native', 's-1', NULL, 6, NULL, NULL);
INSERT INTO public.schema_version VALUES (1, '0001_initial', 'c0e9bed3ebd9ab851477c355d75bcf451446e796f9c2bd04df8e12c3d3607646', '2026-03-01 12:00:00+00');
INSERT INTO public.schema_version VALUES (2, '0002_cold_start_index', 'cfae9c12834f865deb934b235b19a2c2083868cc501b37862cef0500d491a520', '2026-03-01 12:00:00+00');
INSERT INTO public.schema_version VALUES (3, '0003_data_bytes', '1af8936c14c788218d58c047e5a8e1ffa33cd1880d0892163c299affef5e32dc', '2026-03-01 12:00:00+00');
INSERT INTO public.schema_version VALUES (4, '0004_start_and_network', 'b3447ac7b361ad40d033616cca9c6d5c61850d176d69a9b4080b8fcfa934738c', '2026-03-01 12:00:00+00');
ALTER TABLE ONLY public.aliases
    ADD CONSTRAINT aliases_pkey PRIMARY KEY (tenant_id, function_id, name);
ALTER TABLE ONLY public.code_blob_data
    ADD CONSTRAINT code_blob_data_pkey PRIMARY KEY (tenant_id, sha256);
ALTER TABLE ONLY public.code_blobs
    ADD CONSTRAINT code_blobs_pkey PRIMARY KEY (tenant_id, sha256);
ALTER TABLE ONLY public.function_versions
    ADD CONSTRAINT function_versions_pkey PRIMARY KEY (tenant_id, function_id, number);
ALTER TABLE ONLY public.functions
    ADD CONSTRAINT functions_pkey PRIMARY KEY (tenant_id, id);
ALTER TABLE ONLY public.invocation_data
    ADD CONSTRAINT invocation_data_pkey PRIMARY KEY (tenant_id, id);
ALTER TABLE ONLY public.invocation_totals
    ADD CONSTRAINT invocation_totals_pkey PRIMARY KEY (tenant_id);
ALTER TABLE ONLY public.invocations
    ADD CONSTRAINT invocations_pkey PRIMARY KEY (tenant_id, id);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
CREATE INDEX ix_aliases_version ON public.aliases USING btree (tenant_id, function_id, version_number);
CREATE INDEX ix_function_versions_code ON public.function_versions USING btree (tenant_id, code_sha256);
CREATE INDEX ix_functions_code ON public.functions USING btree (tenant_id, code_sha256);
CREATE INDEX ix_invocations_cold ON public.invocations USING btree (tenant_id, id) WHERE (cold_start = true);
CREATE INDEX ix_invocations_function ON public.invocations USING btree (tenant_id, function_name, id);
CREATE INDEX ix_invocations_status ON public.invocations USING btree (tenant_id, status, id) WHERE (status <> 'COMPLETED'::text);
CREATE UNIQUE INDEX ux_functions_name ON public.functions USING btree (tenant_id, name);
ALTER TABLE ONLY public.aliases
    ADD CONSTRAINT aliases_tenant_id_function_id_fkey FOREIGN KEY (tenant_id, function_id) REFERENCES public.functions(tenant_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.aliases
    ADD CONSTRAINT aliases_tenant_id_function_id_version_number_fkey FOREIGN KEY (tenant_id, function_id, version_number) REFERENCES public.function_versions(tenant_id, function_id, number);
ALTER TABLE ONLY public.function_versions
    ADD CONSTRAINT function_versions_tenant_id_code_sha256_fkey FOREIGN KEY (tenant_id, code_sha256) REFERENCES public.code_blobs(tenant_id, sha256);
ALTER TABLE ONLY public.function_versions
    ADD CONSTRAINT function_versions_tenant_id_function_id_fkey FOREIGN KEY (tenant_id, function_id) REFERENCES public.functions(tenant_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.functions
    ADD CONSTRAINT functions_tenant_id_code_sha256_fkey FOREIGN KEY (tenant_id, code_sha256) REFERENCES public.code_blobs(tenant_id, sha256);
