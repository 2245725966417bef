//! The official servers, unmodified. `WAYBILL_NPM_SERVERS` is a folder in which
//! `npm install @modelcontextprotocol/server-filesystem @modelcontextprotocol/server-everything`
//! was run.
