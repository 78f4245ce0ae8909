-- The first schema, in SQL that DuckDB and PostgreSQL both read. Times are RFC 3339 text in UTC, JSON is text.
-- No foreign keys: DuckDB turns the update of a referenced row into delete and insert, which they would forbid.
-- What they would guard is guarded by `verify`, which replays the audit and compares every row.

CREATE TABLE people (
    name VARCHAR PRIMARY KEY,
    role VARCHAR NOT NULL,
    added_at VARCHAR NOT NULL
);

CREATE TABLE patients (
    patient_id VARCHAR PRIMARY KEY,
    dataset VARCHAR NOT NULL,
    added_at VARCHAR NOT NULL
);

CREATE TABLE timepoints (
    patient_id VARCHAR NOT NULL,
    timepoint VARCHAR NOT NULL,
    added_at VARCHAR NOT NULL,
    PRIMARY KEY (patient_id, timepoint)
);

CREATE TABLE scans (
    scan_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    patient_id VARCHAR NOT NULL,
    timepoint VARCHAR NOT NULL,
    modality VARCHAR NOT NULL,
    sequence VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    shape VARCHAR NOT NULL,
    spacing_mm VARCHAR NOT NULL,
    orientation VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    content_sha256 VARCHAR NOT NULL,
    metadata VARCHAR NOT NULL,
    imported_by VARCHAR NOT NULL,
    imported_at VARCHAR NOT NULL,
    PRIMARY KEY (patient_id, timepoint, scan_id)
);

CREATE TABLE masks (
    mask_id VARCHAR PRIMARY KEY,
    patient_id VARCHAR NOT NULL,
    timepoint VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    parent_version INTEGER,
    method VARCHAR NOT NULL,
    model_checkpoint VARCHAR,
    prompts VARCHAR NOT NULL,
    reviewer VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    dice_vs_previous_version DOUBLE PRECISION,
    volume_mm3 DOUBLE PRECISION NOT NULL,
    voxels_added BIGINT NOT NULL,
    voxels_removed BIGINT NOT NULL,
    voxels_unchanged BIGINT NOT NULL,
    volume_delta_mm3 DOUBLE PRECISION,
    scan_sha256 VARCHAR NOT NULL,
    mask_sha256 VARCHAR NOT NULL,
    checkpoint_sha256 VARCHAR,
    lesions VARCHAR NOT NULL,
    software VARCHAR NOT NULL,
    UNIQUE (patient_id, timepoint, version)
);

CREATE TABLE lesions (
    patient_id VARCHAR NOT NULL,
    lesion_id VARCHAR NOT NULL,
    label INTEGER NOT NULL,
    first_mask_id VARCHAR NOT NULL,
    added_at VARCHAR NOT NULL,
    PRIMARY KEY (patient_id, lesion_id)
);

CREATE TABLE measurements (
    mask_id VARCHAR NOT NULL,
    label INTEGER NOT NULL,
    lesion_id VARCHAR NOT NULL,
    volume_mm3 DOUBLE PRECISION NOT NULL,
    voxels BIGINT NOT NULL,
    longest_diameter_mm DOUBLE PRECISION NOT NULL,
    centroid_mm VARCHAR NOT NULL,
    PRIMARY KEY (mask_id, label)
);

CREATE TABLE decisions (
    decision_id VARCHAR PRIMARY KEY,
    mask_id VARCHAR NOT NULL,
    lesion_id VARCHAR,
    verdict VARCHAR NOT NULL,
    reviewer VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    comment VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);

CREATE TABLE ood_scores (
    score_id VARCHAR PRIMARY KEY,
    patient_id VARCHAR NOT NULL,
    timepoint VARCHAR NOT NULL,
    result VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);

CREATE TABLE mask_anomalies (
    anomaly_id VARCHAR PRIMARY KEY,
    mask_id VARCHAR NOT NULL,
    result VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);

CREATE TABLE events (
    event_id VARCHAR PRIMARY KEY,
    patient_id VARCHAR NOT NULL,
    date VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);

CREATE TABLE growth_fits (
    fit_id VARCHAR PRIMARY KEY,
    patient_id VARCHAR NOT NULL,
    lesion_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    result VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);

CREATE TABLE models (
    model_id VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL,
    PRIMARY KEY (model_id, sha256)
);

CREATE TABLE reference_sets (
    set_id VARCHAR PRIMARY KEY,
    kind VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL
);

CREATE TABLE jobs (
    job_id VARCHAR PRIMARY KEY,
    kind VARCHAR NOT NULL,
    params VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    progress DOUBLE PRECISION NOT NULL,
    message VARCHAR NOT NULL,
    result VARCHAR,
    created_at VARCHAR NOT NULL,
    updated_at VARCHAR NOT NULL
);

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    created_at VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    payload VARCHAR NOT NULL,
    prev_hash VARCHAR NOT NULL,
    hash VARCHAR NOT NULL
);

CREATE TABLE mask_vectors (
    mask_id VARCHAR NOT NULL,
    lesion_id VARCHAR NOT NULL,
    patient_id VARCHAR NOT NULL,
    vector VARCHAR NOT NULL,
    names VARCHAR NOT NULL,
    PRIMARY KEY (mask_id, lesion_id)
);
