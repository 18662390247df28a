//! The allow-lists: functions, types and names. What is not here is refused.
//!
//! A function is here only if it reads nothing but its arguments: no settings, catalogues, files,
//! locks, large objects, other sessions, and no text that it would run as SQL. That keeps out
//! `set_config`, `current_setting`, `query_to_xml` and its family, `ts_stat`, `pg_*`, `lo_*`,
//! `ts_rewrite` (its second argument may be a query), `dblink`, `lastval` and `setval` without
//! naming them. The last lines are of PostgreSQL 16, 17 and 18; an older server does not know them.

use std::{collections::HashSet, sync::LazyLock};

const FUNCTIONS: &str = "
    abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees div exp factorial floor gcd lcm ln log log10 mod pi
    power pow radians random round sign sin sqrt tan trunc width_bucket min_scale scale trim_scale
    ascii bit_length btrim char_length character_length chr concat concat_ws convert_from convert_to decode encode
    format initcap left length lower lpad ltrim md5 normalize is_normalized octet_length overlay position
    quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches
    regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim
    sha224 sha256 sha384 sha512 split_part starts_with string_to_array string_to_table strpos substr substring
    to_ascii to_hex translate trim upper unistr like_escape similar_to_escape get_bit get_byte set_bit set_byte bit_count
    age clock_timestamp date_bin date_part date_trunc extract isfinite justify_days justify_hours justify_interval
    make_date make_interval make_time make_timestamp make_timestamptz now statement_timestamp
    transaction_timestamp timeofday timezone to_char to_date to_number to_timestamp overlaps
    array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
    array_positions array_prepend array_remove array_replace array_to_string array_upper cardinality trim_array unnest
    avg bit_and bit_or bit_xor bool_and bool_or count every max min string_agg sum range_agg range_intersect_agg
    corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
    regr_syy stddev stddev_pop stddev_samp variance var_pop var_samp mode percentile_cont percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    generate_series generate_subscripts gen_random_uuid num_nonnulls num_nulls
    array_to_json json_agg json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object json_object_agg
    json_object_keys json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset
    json_typeof row_to_json to_json to_jsonb jsonb_agg jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists
    jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_populate_record
    jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof
    array_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector
    ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array websearch_to_tsquery
    isempty lower_inc lower_inf upper_inc upper_inf range_merge multirange
    int4range int8range numrange tsrange tstzrange daterange
    abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen
    area box center circle diameter height lseg path point polygon radius width
    jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_tz jsonb_path_query_array_tz jsonb_path_query_first_tz
    any_value array_sample array_shuffle date_add date_subtract erf erfc random_normal
    to_bin to_oct unicode_assigned uuid_extract_timestamp uuid_extract_version
    array_reverse array_sort casefold crc32 crc32c gamma lgamma uuidv4 uuidv7
";

const TYPES: &str = "
    bool boolean int2 int4 int8 smallint integer bigint float4 float8 numeric decimal real
    text varchar bpchar char bytea uuid json jsonb jsonpath date time timetz timestamp timestamptz interval
    bit varbit inet cidr macaddr macaddr8 tsvector tsquery
    int4range int8range numrange tsrange tstzrange daterange
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange
    point line lseg box path polygon circle
";

/// Types that only a column definition may have: they make a sequence of their own.
const SERIAL_TYPES: &str = "smallserial serial bigserial serial2 serial4 serial8";

/// Types of pg_catalog that a statement must not name. Every other name is a type of the tenant's
/// schema, so leaving one out here costs an error message only: it would not be found there.
const DENIED_TYPES: &str = "
    oid xid xid8 cid tid name cstring record refcursor internal trigger event_trigger xml money aclitem
    int2vector oidvector txid_snapshot unknown void opaque language_handler
";

static FUNCTION_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| FUNCTIONS.split_whitespace().collect());
static TYPE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| TYPES.split_whitespace().collect());
static SERIAL_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| SERIAL_TYPES.split_whitespace().collect());
static DENIED_TYPE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| DENIED_TYPES.split_whitespace().collect());

/// Whether a function of pg_catalog may be called.
pub(crate) fn function(name: &str) -> bool {
    FUNCTION_SET.contains(name)
}

/// Whether this is a built-in type that may be named.
pub(crate) fn builtin_type(name: &str) -> bool {
    TYPE_SET.contains(name)
}

/// Whether this is a type that makes a sequence.
pub(crate) fn serial_type(name: &str) -> bool {
    SERIAL_SET.contains(name)
}

/// Whether a type name is refused outright.
pub(crate) fn denied_type(name: &str) -> bool {
    name.starts_with("reg") || name.starts_with("pg_") || name.starts_with("any") || DENIED_TYPE_SET.contains(name)
}

/// Whether a relation or a CTE may be called this. `pg_` names are the catalogues', which an
/// unqualified name would find before anything else.
pub(crate) fn reserved_name(name: &str) -> bool {
    name.is_empty() || name.starts_with("pg_")
}

/// Whether a name needs no quotes in any place.
pub(crate) fn plain_name(name: &str) -> bool {
    name.len() <= 63
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
