//! The names and types of the columns of `pg_catalog`.

/// Names of columns with their types, as in `oid:o relname:t`: `o` an object id, `i` and `s` an INT and a SMALLINT, `b` a
/// BOOLEAN, `t` text, `a` an array of text.
pub(super) type Columns = &'static str;

pub(super) const CLASS: Columns = "oid:o relname:t relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o \
     reltablespace:o relpages:i reltuples:i reltoastrelid:o relhasindex:b relisshared:b relpersistence:t relkind:t \
     relnatts:s relchecks:s relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b \
     relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relpartbound:t reloptions:a relacl:a";
pub(super) const ATTRIBUTE: Columns = "attrelid:o attname:t atttypid:o attlen:s attnum:s attndims:i atttypmod:i attnotnull:b \
     atthasdef:b atthasmissing:b attidentity:t attgenerated:t attisdropped:b attislocal:b attcollation:o \
     attstorage:t attcompression:t attstattarget:i attacl:a attoptions:a attfdwoptions:a";
pub(super) const TYPE: Columns = "oid:o typname:t typnamespace:o typowner:o typlen:s typbyval:b typtype:t typcategory:t \
     typispreferred:b typisdefined:b typdelim:t typrelid:o typelem:o typarray:o typinput:t typoutput:t typreceive:t \
     typsend:t typnotnull:b typbasetype:o typtypmod:i typndims:i typcollation:o typdefault:t typacl:a";
pub(super) const NAMESPACE: Columns = "oid:o nspname:t nspowner:o nspacl:a";
pub(super) const DATABASES: Columns = "oid:o datname:t datdba:o encoding:i datlocprovider:t datistemplate:b datallowconn:b \
     datconnlimit:i dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t datacl:a";
pub(super) const ROLES: Columns = "oid:o rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b \
     rolreplication:b rolbypassrls:b rolconnlimit:i rolvaliduntil:t rolpassword:t rolconfig:a";
pub(super) const SETTINGS: Columns = "name:t setting:t unit:t category:t short_desc:t context:t vartype:t source:t extra_desc:t min_val:t max_val:t \
     enumvals:a boot_val:t reset_val:t sourcefile:t sourceline:i pending_restart:b";

/// Tables that are there because clients ask for them, and always empty.
pub(super) const EMPTY: [(&str, Columns); 58] = [
    ("pg_auth_members", "oid:o roleid:o member:o grantor:o admin_option:b"),
    ("pg_db_role_setting", "setdatabase:o setrole:o setconfig:a"),
    ("pg_aggregate", "aggfnoid:o aggkind:t aggnumdirectargs:s aggtranstype:o"),
    ("pg_am", "oid:o amname:t amhandler:t amtype:t"),
    ("pg_attrdef", "oid:o adrelid:o adnum:s adbin:t adsrc:t"),
    ("pg_available_extensions", "name:t default_version:t installed_version:t comment:t"),
    ("pg_cast", "oid:o castsource:o casttarget:o castfunc:o castcontext:t castmethod:t"),
    ("pg_collation", "oid:o collname:t collnamespace:o collprovider:t collisdeterministic:b"),
    (
        "pg_constraint",
        "oid:o conname:t connamespace:o contype:t condeferrable:b condeferred:b convalidated:b \
      conrelid:o contypid:o conindid:o conparentid:o confrelid:o confupdtype:t confdeltype:t confmatchtype:t \
      conkey:a confkey:a conbin:t",
    ),
    (
        "pg_conversion",
        "oid:o conname:t connamespace:o conowner:o conforencoding:i contoencoding:i condefault:b",
    ),
    ("pg_default_acl", "oid:o defaclrole:o defaclnamespace:o defaclobjtype:t defaclacl:a"),
    ("pg_depend", "classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype:t"),
    ("pg_description", "objoid:o classoid:o objsubid:i description:t"),
    ("pg_enum", "oid:o enumtypid:o enumsortorder:i enumlabel:t"),
    ("pg_event_trigger", "oid:o evtname:t evtevent:t evtowner:o evtenabled:t"),
    ("pg_extension", "oid:o extname:t extowner:o extnamespace:o extrelocatable:b extversion:t"),
    ("pg_foreign_data_wrapper", "oid:o fdwname:t fdwowner:o"),
    ("pg_foreign_server", "oid:o srvname:t srvowner:o srvfdw:o"),
    ("pg_foreign_table", "ftrelid:o ftserver:o ftoptions:a"),
    (
        "pg_index",
        "indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indisprimary:b indisexclusion:b \
      indimmediate:b indisclustered:b indisvalid:b indisready:b indislive:b indisreplident:b indkey:t indoption:t \
      indcollation:t indclass:t indexprs:t indpred:t indnullsnotdistinct:b",
    ),
    ("pg_indexes", "schemaname:t tablename:t indexname:t tablespace:t indexdef:t"),
    ("pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b"),
    ("pg_language", "oid:o lanname:t lanowner:o"),
    ("pg_largeobject_metadata", "oid:o lomowner:o lomacl:a"),
    ("pg_locks", "locktype:t database:o relation:o pid:i mode:t granted:b"),
    (
        "pg_opclass",
        "oid:o opcmethod:o opcname:t opcnamespace:o opcowner:o opcfamily:o opcintype:o opcdefault:b opckeytype:o",
    ),
    ("pg_opfamily", "oid:o opfmethod:o opfname:t opfnamespace:o opfowner:o"),
    ("pg_prepared_xacts", "transaction:o gid:t owner:t database:t"),
    ("pg_replication_slots", "slot_name:t plugin:t slot_type:t database:t active:b"),
    ("pg_rules", "schemaname:t tablename:t rulename:t definition:t"),
    ("pg_seclabel", "objoid:o classoid:o objsubid:i provider:t label:t"),
    (
        "pg_seclabels",
        "objoid:o classoid:o objsubid:i objtype:t objnamespace:o objname:t provider:t label:t",
    ),
    ("pg_sequences", "schemaname:t sequencename:t sequenceowner:t data_type:t last_value:i"),
    ("pg_shdepend", "dbid:o classid:o objid:o objsubid:i refclassid:o refobjid:o deptype:t"),
    ("pg_stat_database", "datid:o datname:t numbackends:i"),
    ("pg_stat_user_tables", "relid:o schemaname:t relname:t seq_scan:i n_live_tup:i"),
    ("pg_statio_user_tables", "relid:o schemaname:t relname:t heap_blks_read:i"),
    ("pg_stats", "schemaname:t tablename:t attname:t null_frac:t n_distinct:t"),
    ("pg_timezone_names", "name:t abbrev:t utc_offset:t is_dst:b"),
    ("pg_transform", "oid:o trftype:o trflang:o"),
    ("pg_ts_config", "oid:o cfgname:t cfgnamespace:o cfgowner:o cfgparser:o"),
    ("pg_ts_dict", "oid:o dictname:t dictnamespace:o dictowner:o dicttemplate:o"),
    ("pg_user_mappings", "umid:o srvid:o srvname:t umuser:o usename:t umoptions:a"),
    ("pg_operator", "oid:o oprname:t oprnamespace:o oprleft:o oprright:o oprresult:o"),
    ("pg_partitioned_table", "partrelid:o partstrat:t partnatts:s"),
    (
        "pg_policy",
        "oid:o polname:t polrelid:o polcmd:t polpermissive:b polroles:t polqual:t polwithcheck:t",
    ),
    (
        "pg_proc",
        "oid:o proname:t pronamespace:o proowner:o prolang:o prokind:t prosecdef:b proretset:b provolatile:t \
      pronargs:s prorettype:o proargtypes:t proargnames:a proargmodes:a proallargtypes:a prosrc:t",
    ),
    (
        "pg_publication",
        "oid:o pubname:t pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b",
    ),
    ("pg_publication_namespace", "oid:o pnpubid:o pnnspid:o"),
    ("pg_publication_rel", "oid:o prpubid:o prrelid:o prqual:t prattrs:t"),
    ("pg_range", "rngtypid:o rngsubtype:o rngmultitypid:o"),
    ("pg_rewrite", "oid:o rulename:t ev_class:o ev_type:t ev_enabled:t is_instead:b ev_action:t"),
    (
        "pg_sequence",
        "seqrelid:o seqtypid:o seqstart:i seqincrement:i seqmax:i seqmin:i seqcache:i seqcycle:b",
    ),
    ("pg_shdescription", "objoid:o classoid:o description:t"),
    ("pg_stat_activity", "datid:o datname:t pid:i usename:t application_name:t state:t query:t"),
    (
        "pg_statistic_ext",
        "oid:o stxrelid:o stxname:t stxnamespace:o stxowner:o stxkeys:t stxkind:a stxstattarget:i",
    ),
    ("pg_subscription", "oid:o subdbid:o subname:t subowner:o subenabled:b"),
    (
        "pg_trigger",
        "oid:o tgrelid:o tgname:t tgfoid:o tgtype:s tgenabled:t tgisinternal:b tgconstraint:o tgparentid:o",
    ),
];

/// Those of the above that hold rows.
const FILLED: [&str; 14] = [
    "pg_class",
    "pg_attribute",
    "pg_type",
    "pg_namespace",
    "pg_database",
    "pg_get_keywords",
    "pg_roles",
    "pg_user",
    "pg_authid",
    "pg_settings",
    "pg_tables",
    "pg_tablespace",
    "pg_views",
    "pg_matviews",
];

/// True if there is such a table in `pg_catalog`.
pub(super) fn is_known(name: &str) -> bool {
    FILLED.contains(&name) || is_always_empty(name)
}

/// Tables of `information_schema` that are there because clients ask for them, and always empty.
pub(super) const EMPTY_INFORMATION: [(&str, Columns); 9] = [
    (
        "table_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t constraint_type:t",
    ),
    (
        "key_column_usage",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t column_name:t \
      ordinal_position:i position_in_unique_constraint:i",
    ),
    (
        "referential_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_name:t unique_constraint_schema:t \
      match_option:t update_rule:t delete_rule:t",
    ),
    (
        "constraint_column_usage",
        "table_catalog:t table_schema:t table_name:t column_name:t constraint_catalog:t constraint_schema:t constraint_name:t",
    ),
    (
        "check_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t check_clause:t",
    ),
    (
        "routines",
        "routine_catalog:t routine_schema:t routine_name:t routine_type:t specific_name:t data_type:t",
    ),
    (
        "parameters",
        "specific_schema:t specific_name:t ordinal_position:i parameter_name:t data_type:t",
    ),
    ("sequences", "sequence_catalog:t sequence_schema:t sequence_name:t data_type:t"),
    (
        "triggers",
        "trigger_schema:t trigger_name:t event_manipulation:t event_object_table:t action_statement:t",
    ),
];

/// True if there is such a table in one of the two schemas, and never a row in it.
pub(super) fn is_always_empty(name: &str) -> bool {
    EMPTY.iter().chain(&EMPTY_INFORMATION).any(|(known, _)| *known == name)
}
