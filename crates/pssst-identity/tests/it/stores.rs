//! One suite run against every store, and what only some of them can do.

mod feed;
mod file;
mod postgres;
mod sqlite;
mod suite;
mod support;
mod tokens;
mod writers;

/// Makes a test of each case, for each store.
macro_rules! for_each_store {
    ($($module:ident: $($case:ident)+;)+) => {
        for_each_store!(memory { $($module: $($case)+;)+ });
        for_each_store!(file { $($module: $($case)+;)+ });
        for_each_store!(sqlite { $($module: $($case)+;)+ });
        for_each_store!(postgres { $($module: $($case)+;)+ });
    };
    ($store:ident { $($module:ident: $($case:ident)+;)+ }) => {
        mod $store {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let fixture = crate::stores::support::$store().await;
                    crate::stores::$module::$case(fixture.store.clone()).await;
                })+
            })+
        }
    };
}

mod every {
    for_each_store! {
        suite:
            what_was_added_is_found
            pages_come_in_the_order_of_bytes
            searches_take_every_character_as_it_is
            clients_are_counted_and_found_by_label
            a_taken_key_or_name_is_refused
            all_are_added_or_none
            keys_that_are_no_true_keys_are_refused
            an_update_changes_what_it_says_and_no_more
            revoked_is_final
            names_move_only_to_free_ones
            what_was_removed_is_free_again
            times_keep_their_milliseconds
            odd_questions_find_nothing
            a_client_may_have_to_use_its_pre_shared_key;
        feed:
            the_latest_change_of_each_is_told_in_order
            a_removal_is_told_and_a_key_that_came_back
            pages_of_the_feed_join
            a_failed_change_is_no_change
            hints_follow_changes;
        writers:
            sixteen_writers_and_a_follower;
    }
}

/// Makes a test of each case, for both databases.
macro_rules! for_each_database {
    ($($case:ident)+) => {
        for_each_database!(sqlite { $($case)+ });
        for_each_database!(postgres { $($case)+ });
    };
    ($store:ident { $($case:ident)+ }) => {
        mod $store {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let database = crate::stores::support::Database::$store().await;
                crate::stores::tokens::$case(&database).await;
            })+
        }
    };
}

mod databases {
    for_each_database! {
        a_token_enrolls_one_key_with_what_it_grants
        an_enrollment_may_require_the_pre_shared_key
        tables_of_the_version_before_are_brought_up_to_date
        the_same_device_may_ask_again
        bad_tokens_are_refused
        a_failed_enrollment_leaves_the_token_as_it_was
        names_must_be_those_that_the_token_says
        one_of_twenty_devices_wins
        tokens_are_listed_and_withdrawn
        old_tokens_are_forgotten
        every_change_is_in_the_audit_log
        the_audit_log_is_searched
        servers_are_listed_until_they_stop
        the_audit_log_refuses_to_forget
        what_is_archived_may_be_forgotten
        corrupt_rows_are_errors
        refused_clients_are_kept_until_they_are_served
    }
}
