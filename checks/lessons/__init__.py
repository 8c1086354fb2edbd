"""What each exercise demands: one module a lesson, one class an exercise."""
