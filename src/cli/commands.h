/*
 * cli/commands.h: the functions that the table names, one a command.
 *
 * All have the shape command_run of command.h: the values are checked by type
 * already, the number of operands too.
 */
#pragma once

#include "cli/command.h"

/* ERR_UNIMPLEMENTED "... is not supported": for what proa does not have. */
command_run cmd_unsupported;
command_run cmd_generate;
command_run cmd_container_inspect;
command_run cmd_container_prune;
command_run cmd_diff;
command_run cmd_history;
command_run cmd_blame;
command_run cmd_image_inspect;
command_run cmd_image_prune;
command_run cmd_images;
command_run cmd_inspect;
command_run cmd_kill;
command_run cmd_network_connect;
command_run cmd_network_create;
command_run cmd_network_disconnect;
command_run cmd_network_inspect;
command_run cmd_network_ls;
command_run cmd_network_prune;
command_run cmd_network_rm;
command_run cmd_pause;
command_run cmd_port;
command_run cmd_ps;
command_run cmd_rename;
command_run cmd_restart;
command_run cmd_rm;
command_run cmd_rmi;
command_run cmd_stop;
command_run cmd_tag;
command_run cmd_top;
command_run cmd_unpause;
command_run cmd_volume_create;
command_run cmd_volume_inspect;
command_run cmd_volume_ls;
command_run cmd_volume_prune;
command_run cmd_volume_rm;
command_run cmd_wait;
command_run cmd_doctor;
command_run cmd_attach;
command_run cmd_create;
command_run cmd_exec;
command_run cmd_logs;
command_run cmd_pull;
command_run cmd_push;
command_run cmd_run;
command_run cmd_start;
command_run cmd_commit;
command_run cmd_events;
command_run cmd_export;
command_run cmd_import;
command_run cmd_info;
command_run cmd_load;
command_run cmd_save;
command_run cmd_update;
command_run cmd_version;
command_run cmd_build;
command_run cmd_cp;
command_run cmd_builder_cache;
command_run cmd_builder_du;
command_run cmd_builder_prune;
command_run cmd_context_export;
command_run cmd_context_import;
command_run cmd_context_create;
command_run cmd_context_inspect;
command_run cmd_context_ls;
command_run cmd_context_rm;
command_run cmd_context_show;
command_run cmd_context_update;
command_run cmd_context_use;
command_run cmd_login;
command_run cmd_logout;
command_run cmd_search;
command_run cmd_system_df;
command_run cmd_system_prune;
command_run cmd_dial_stdio;
command_run cmd_engine;
command_run cmd_registry_serve;
command_run cmd_stats;
command_run cmd_ls_remote;
command_run cmd_store_check;
